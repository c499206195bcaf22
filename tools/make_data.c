// Writes the project's own data as JSON lines: a small English world from a grammar, the same for the same seed.
//   cc -O2 -o build/make_data tools/make_data.c
//   build/make_data dialogsum 1200 1 --split train > train.jsonl
// The word lists are closed: every split speaks of the same people, places and things. What a held-out split has
// of its own: its scenes (a request and how it ends, never together in the training split), its pairs of speakers,
// and half of its phrasings.
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

// ---- random numbers

static uint64_t state;

static uint32_t next(void) {
    uint64_t z = state += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return (uint32_t)((z ^ (z >> 31)) >> 16);
}

static int below(int n) { return (int)(next() % (uint32_t)n); }

// ---- the world

enum { TRAIN, VALIDATION, TEST };
static int split = TRAIN;

static const char *const names[] = {
    "Anna",  "Mary",  "Emma",   "Lily",  "Sara",   "Julia",  "Kate", "Nora",   "Alice", "Laura",
    "Grace", "Helen", "Clara",  "Diana", "Carla",  "Ellen",  "Nina", "Rosa",   "Linda", "Vera",
    "Tom",   "Ben",   "Paul",   "Mark",  "David",  "Peter",  "James", "Oscar", "Frank", "Henry",
    "Jack",  "Simon", "Adam",   "Leo",   "Martin", "Daniel", "Carl", "Felix",  "Hugo",  "Max"};
static const char *const places[] = {
    "the park",   "the library", "the station", "the museum", "the market", "the school", "the office",
    "the beach",  "the cafe",    "the cinema",  "the garden", "the hotel",  "the bank",   "the theater",
    "the airport", "the bakery", "the bridge",  "the lake",   "the harbor", "the tower"};
static const char *const days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
static const char *const times[] = {"at six", "at seven", "at eight", "at nine", "at ten", "at noon", "at two", "at three"};
static const char *const things[] = {"bike",  "camera", "laptop", "car",      "book", "tent",    "ladder", "guitar",
                                     "drill", "coat",   "map",    "radio",    "lamp", "printer", "clock",  "kettle",
                                     "watch", "mirror", "phone",  "suitcase", "boat", "blanket", "table",  "piano"};
static const char *const shows[] = {"concert", "play", "game", "dance", "race", "film", "lecture", "party", "opera", "circus"};
static const char *const foods[] = {"pizza", "soup", "salad", "fish", "rice", "pasta", "bread", "cake", "cheese", "fruit"};
static const char *const subjects[] = {"math", "history", "music", "physics", "French", "biology", "art", "chemistry"};
static const char *const prices[] = {"ten", "twelve", "fifteen", "twenty", "thirty", "forty", "fifty", "sixty"};
static const struct {
    const char *i, *he;  // "I have guests", "Ben has guests"
} reasons[] = {{"have to work late", "has to work late"}, {"am ill", "is ill"}, {"have a meeting", "has a meeting"},
               {"have to study", "has to study"}, {"have guests", "has guests"}, {"am too tired", "is too tired"},
               {"have no money", "has no money"}, {"have to see the doctor", "has to see the doctor"},
               {"have to feed the cat", "has to feed the cat"}, {"have to catch a train", "has to catch a train"}};

typedef enum kind { THINGS, SHOWS, FOODS, SUBJECTS } kind;

typedef struct slots {
    const char *a, *b, *c, *thing, *food, *place, *day, *time, *price;
    int reason;
} slots;

#define ANY(list) list[below(COUNT(list))]

// Which split two speakers talk in.
static int home(int a, int b) {
    int k = (7 * a + 3 * b) % 8;
    return k == 0 ? VALIDATION : k == 1 ? TEST : TRAIN;
}

static slots draw(kind k) {
    slots s;
    int a, b, c;
    do a = below(COUNT(names)), b = below(COUNT(names)), c = below(COUNT(names));
    while (a == b || a == c || b == c || home(a, b) != split);
    s.a = names[a], s.b = names[b], s.c = names[c];
    s.thing = k == THINGS ? ANY(things) : k == SHOWS ? ANY(shows) : k == FOODS ? ANY(foods) : ANY(subjects);
    do s.food = ANY(foods);
    while (s.food == s.thing);
    s.place = ANY(places), s.day = ANY(days), s.time = ANY(times), s.price = ANY(prices);
    s.reason = below(COUNT(reasons));
    return s;
}

// ---- text with slots: {A} {B} {C} names, {o} thing, {f} food, {p} place, {d} day, {t} time, {m} price,
// {r} reason of the one who speaks, {R} the same of another

typedef struct text {
    char data[8192];
    size_t n;
} text;

static void put(text *t, const char *s) {
    size_t n = strlen(s);
    if (t->n + n + 1 > sizeof(t->data)) {
        fprintf(stderr, "make_data: a text grew too long\n");
        exit(1);
    }
    memcpy(t->data + t->n, s, n + 1);
    t->n += n;
}

static const char *slot(const slots *s, char c) {
    switch (c) {
    case 'A': return s->a;
    case 'B': return s->b;
    case 'C': return s->c;
    case 'o': return s->thing;
    case 'f': return s->food;
    case 'p': return s->place;
    case 'd': return s->day;
    case 't': return s->time;
    case 'm': return s->price;
    case 'r': return reasons[s->reason].i;
    default: return reasons[s->reason].he;
    }
}

static void fill(text *t, const char *pattern, const slots *s) {
    for (const char *p = pattern; *p; p++) {
        char one[2] = {*p, 0};
        if (*p != '{') {
            put(t, one);
            continue;
        }
        if (p[1] == 'd') put(t, "on ");
        put(t, slot(s, p[1]));
        p += 2;
    }
}

// A sentence: the first letter is a capital.
static void say(text *t, const char *pattern, const slots *s) {
    size_t start = t->n;
    fill(t, pattern, s);
    t->data[start] = (char)toupper((unsigned char)t->data[start]);
}

enum { MOST = 9 };

// A phrasing: the last of the variants is kept for the held-out splits, which use it half of the time.
static const char *phrase(const char *const *variants) {
    int n = 0;
    while (n < MOST && variants[n]) n++;
    if (split == TRAIN) return variants[below(n - 1)];
    return below(2) ? variants[n - 1] : variants[below(n)];
}

// ---- scenes: a request of A, a question of B, what A says to it, and how B ends it

typedef struct request {
    kind what;
    const char *ask[MOST], *question[MOST], *detail[MOST];
    const char *summary;
    const char *who, *object, *whose;  // questions about it: the answers are A, {o}, B
    const char *wish;                  // what A wants, as an answer
} request;

static const request requests[] = {
    {THINGS,
     {"{B}, can you give me your {o} for a day?", "I have no {o}. May I borrow yours, {B}?", "I need a {o}, {B}. Can I have yours?", "{B}, is your {o} free? I would like to borrow it.", "Can I take your {o}, {B}?", "{B}, could I borrow your {o}?", "May I have your {o} for a day, {B}?", "Hello {B}. Can you lend me your {o}?", "{B}, would you mind lending me your {o}?"},
     {"Why?", "For what?", "Where will you take it?", "What do you need it for?", "Why do you need it?", "Where do you need it?", "And what is it for?"},
     {"I am going to {p}.", "They have none at {p}.", "It is for my friends at {p}.", "I want to take it to {p}.", "I need it at {p}.", "For a day at {p}.", "I promised to bring it to {p}."},
     "{A} wants to borrow the {o} from {B} and take it to {p}", "Who wants to borrow the {o}?", "What does {A} want to borrow?", "Who has the {o}?",
     "to borrow the {o}"},
    {SHOWS,
     {"{B}, do you want to see the {o} with me?", "There is a {o}, {B}. Shall we go?", "I have two places for the {o}, {B}. Come with me!", "Do you have time for the {o}, {B}?", "{B}, will you come to the {o}?", "Would you like to go to the {o} with me, {B}?", "{B}, shall we go to the {o}?", "I want to see the {o}. Will you come with me, {B}?", "Let's go to the {o} together, {B}!"},
     {"Where?", "Where will it be?", "Tell me where it is.", "Where is it?", "Where do I have to go?", "At which place?", "And where would that be?"},
     {"This time at {p}.", "Come to {p}.", "We meet at {p}.", "It is at {p}.", "At {p}, as always.", "Next to {p}.", "You will find it at {p}."},
     "{A} invites {B} to the {o} at {p}", "Who wants to go to the {o}?", "What does {A} want to see?", "Whom does {A} invite?",
     "to go to the {o}"},
    {FOODS,
     {"I want to eat {o}. Will you come, {B}?", "{B}, do you like {o}? Let's eat some.", "Let's eat {o} together, {B}.", "I would love some {o}, {B}. And you?", "{B}, shall we have {o}?", "Shall we eat some {o}, {B}?", "{B}, would you like to eat {o} with me?", "I am hungry, {B}. Let's have some {o}.", "{B}, how about some {o}?"},
     {"Where?", "At which place?", "Where do they have it?", "Where can we get it?", "Where should we go?", "Do you know a good place?", "And where would we find it?"},
     {"At {p}.", "I like it best at {p}.", "They make it at {p}.", "They have it at {p}.", "We could go to {p}.", "There is good {o} at {p}.", "The best one is at {p}."},
     "{A} wants to eat {o} with {B} at {p}", "Who wants to eat {o}?", "What does {A} want to eat?", "With whom does {A} want to eat?",
     "to eat {o}"},
    {SUBJECTS,
     {"I need help with {o}, {B}.", "{B}, you know {o} well. Can we study together?", "Would you study {o} with me, {B}?", "{B}, {o} is too hard for me. Help me, please.", "Let's study {o}, {B}. I have a test.", "Can you help me with {o}, {B}?", "I don't understand {o}, {B}. Will you help me?", "{B}, could you explain {o} to me?", "I have a test in {o}, {B}. Can you help me?"},
     {"Where?", "Where do you want to study?", "Which place is good for you?", "Where should we study?", "Where can we meet?", "At which place?", "And where shall we study?"},
     {"We could meet at {p}.", "I am always at {p}.", "I like {p} best.", "At {p}.", "Let's study at {p}.", "Could you come to {p}?", "I would like to study at {p}."},
     "{A} wants to study {o} with {B} at {p}", "Who needs help with {o}?", "What does {A} not understand?", "Who knows {o} better?",
     "to study {o}"},
    {THINGS,
     {"I don't need my {o}, {B}. Would you buy it?", "{B}, I am selling my {o}.", "Would you like to buy a {o}, {B}?", "You need a {o}, {B}, and I sell mine.", "{B}, my {o} is too big for me. Do you want to buy it?", "Do you want to buy my {o}, {B}?", "{B}, I want to sell my {o}. Do you want it?", "My {o} is for sale, {B}.", "{B}, would you like to have my old {o}? It is for sale."},
     {"Where?", "At which place is it?", "May I see it?", "Where can I see it?", "Where is it?", "Can I look at it?", "And where could I see it?"},
     {"At {p}.", "It stands at {p}.", "Look for it at {p}.", "You can see it at {p}.", "It is at {p}.", "Come to {p} and look at it.", "I keep it at {p}."},
     "{A} wants to sell the {o} to {B} and show it at {p}", "Who sells the {o}?", "What does {A} sell?", "To whom does {A} want to sell the {o}?",
     "to sell the {o}"},
    {THINGS,
     {"There is something wrong with my {o}, {B}. Can you help?", "My old {o} does not work, {B}. Will you repair it?", "{B}, would you repair my {o}?", "Can you look at my {o}, {B}? It does not work.", "I need somebody who can repair a {o}, {B}.", "{B}, can you repair my {o}?", "My {o} is broken, {B}. Can you repair it?", "Hi {B}, do you know how to repair a {o}?", "{B}, could you look at my {o}? It is broken."},
     {"Where?", "At which place is it?", "May I see it?", "Where is it?", "Where do you have it?", "Can I look at it?", "And where is it now?"},
     {"At {p}.", "It stands at {p}.", "Come to {p} and look at it.", "It is at {p}.", "I left it at {p}.", "You can see it at {p}.", "I keep it at {p}."},
     "{A} asks {B} to repair the {o} at {p}", "Whose {o} is broken?", "What is broken?", "Who should repair the {o}?",
     "to have the {o} repaired"},
    {THINGS,
     {"Where is my {o}? I can't find it, {B}.", "{B}, my {o} is not here. Have you seen it?", "I am looking for my {o}, {B}. Will you look, too?", "Please help me, {B}. I don't know where my {o} is.", "{B}, somebody took my {o}. Can you help me to find it?", "I have lost my {o}, {B}. Can you help me?", "{B}, I can't find my {o}. Will you help me?", "Can you help me to find my {o}, {B}?", "My {o} is gone, {B}. Help me, please!"},
     {"Where?", "At which place did you have it?", "Where were you?", "Where did you lose it?", "Where did you see it last?", "Where was it?", "And where did you have it last?"},
     {"At {p}.", "I was at {p}.", "I think it was at {p}.", "I lost it at {p}.", "I had it at {p}.", "It was at {p}.", "I left it at {p}."},
     "{A} has lost the {o} at {p} and asks {B} for help", "Who has lost the {o}?", "What has {A} lost?", "Who should help {A} to find the {o}?",
     "to find the {o}"},
    {FOODS,
     {"We have no {o}, {B}. Will you make some?", "Nobody makes {o} as you do, {B}. Will you make some for me?", "{B}, I need your {o}. Can you make it?", "Please make some {o}, {B}.", "Do you have time to make {o}, {B}?", "{B}, can you make some {o} for me?", "Could you make {o}, {B}?", "I need some {o}, {B}. Can you make it?", "{B}, would you mind making some {o}?"},
     {"Why?", "For whom?", "Where will you eat it?", "What do you need it for?", "Where do you need it?", "Why do you need it?", "And what is it for?"},
     {"There is a party at {p}.", "We all meet at {p}.", "I want to take it to {p}.", "It is for a party at {p}.", "For my friends at {p}.", "I have guests at {p}.", "I promised to bring it to {p}."},
     "{A} asks {B} to make {o} for {p}", "Who needs {o}?", "What does {A} need?", "Who should make {o}?",
     "to get {o}"},
    {THINGS,
     {"{B}, my {o} is at home. Please bring it.", "I need my {o} now, {B}. Can you come with it?", "Would you come and bring my {o}, {B}?", "Please bring me the {o}, {B}.", "{B}, I am here without my {o}. Can you bring it?", "{B}, can you bring me my {o}?", "I left my {o} at home, {B}. Can you bring it?", "Could you bring me the {o}, {B}?", "I need the {o} here, {B}. Will you bring it?"},
     {"Where?", "At which place are you?", "Where do you need it?", "Where are you?", "Where should I bring it?", "To which place?", "And where are you now?"},
     {"At {p}.", "I have to wait at {p}.", "Come to {p}, please.", "I am at {p}.", "To {p}, please.", "Bring it to {p}.", "You will find me at {p}."},
     "{A} wants {B} to bring the {o} to {p}", "Who needs the {o}?", "What does {A} need?", "Who should bring the {o}?",
     "to have the {o} here"},
    {THINGS,
     {"{B}, I can't carry the {o} alone.", "I bought a {o}, {B}. Will you carry it with me?", "The {o} is big, {B}. Can we take it together?", "{B}, help me with the {o}. It is too heavy.", "Two people have to carry this {o}, {B}. Will you help?", "{B}, can you help me to carry a {o}?", "The {o} is too heavy for me, {B}. Can you help me?", "Could you carry the {o} with me, {B}?", "I have to move a {o}, {B}. Would you help me?"},
     {"Where?", "Where will you take it?", "Which place is it for?", "Where do you want to take it?", "Where should it go?", "To which place?", "And where do we have to carry it?"},
     {"To {p}.", "I need it at {p}.", "They want it at {p}.", "It has to go to {p}.", "To {p}, please.", "I want to take it to {p}.", "We have to bring it to {p}."},
     "{A} asks {B} to help carry the {o} to {p}", "Who has to carry the {o}?", "What does {A} have to carry?", "Who should help {A} to carry the {o}?",
     "to move the {o}"},
};

typedef enum ending { AGREE, REFUSE, REFER, LATER, CONDITION, PAY, WITH, BUSY, HOME, UNWILLING } ending;

static const struct {
    const char *reply[MOST], *close[MOST], *summary;
    const char *answer, *outcome;  // to "Does {B} agree?" and "How does it end?"
} endings[] = {
    {{"Gladly. I am free {d} {t}.", "Yes. Are you free {d} {t}, too?", "All right, {d} {t}.", "Let's do it {d} {t}.", "Good. We meet {d} {t}.", "Sure. Let's meet {d} {t}.", "With pleasure. I will come {d} {t}.", "Yes, I have time {d} {t}.", "Of course. I will be there {d} {t}."},
     {"Good, thanks.", "I will be there.", "Thank you so much!", "Great, see you then.", "Wonderful, see you.", "Perfect, thanks!"}, ". {B} agrees to meet {d} {t}.", "yes", "{B} will come {d} {t}"},
    {{"I can't. I {r}.", "Not this time, I {r}.", "No, sorry. I {r}.", "That is not possible. I {r}.", "Don't wait for me, I {r}.", "I'm sorry, but I {r}.", "No, I can't. I {r}.", "Sorry, I {r}.", "I would like to, but I {r}."},
     {"Then another time.", "Sorry to hear that.", "What a pity.", "Never mind.", "That's all right.", "Too bad, but I understand."}, ", but {B} {R}.", "no", "{B} {R}"},
    {{"{C} is better at that. Ask {C}.", "Why don't you ask {C}?", "Not me. {C} would like to.", "Talk to {C}, I have no time.", "{C} will help you, I can't.", "I can't, but {C} can.", "No, but you can ask {C}.", "I have no time. Ask {C}.", "You had better ask {C}."},
     {"I will do that.", "Thanks, I will talk to {C}.", "Good idea, I will ask {C}.", "Then I will call {C}.", "All right, thank you.", "Fine, I will talk to {C}."}, ", but {B} tells {A} to ask {C}.", "no", "{C} may help"},
    {{"I have to think. You will hear from me {d}.", "I am not sure. I will tell you {d}.", "Wait for my call {d}.", "It is hard to say. I will write {d}.", "Ask me again {d}.", "I don't know yet. I will call you {d}.", "Maybe. I will tell you {d}.", "Let me think. I will call you {d}.", "I can't say now. I will let you know {d}."},
     {"Good, I will wait.", "All right, then.", "Fine, I can wait.", "All right, call me.", "Good, tell me then.", "No problem, I can wait."}, ", but {B} is not sure and will call {d}.", "not sure", "{B} will call {d}"},
    {{"Yes, but bring {f}.", "I will, if there is {f} for me.", "For some {f} I will do it.", "Only if I get some {f}.", "Bring me {f}, and I will do it.", "Yes, if you bring me some {f}.", "Sure, but only if you bring {f}.", "All right, but you have to bring some {f}.", "Of course, as long as you bring {f}."},
     {"I will do that.", "Of course.", "All right, I will.", "That's fair.", "Good, I will bring it.", "No problem, I will."}, ". {B} agrees if {A} brings {f}.", "yes", "{A} has to bring {f}"},
    {{"For {m} dollars, yes.", "Let's say {m} dollars.", "Yes, if it is {m} dollars.", "I think of {m} dollars. Is that good?", "All right, but for {m} dollars.", "Good, for {m} dollars.", "{m} dollars, and we have a deal.", "Would {m} dollars be fair?", "Yes, for {m} dollars."},
     {"That's not too much.", "{m} dollars is fine.", "Good, we have a deal.", "I like that.", "All right, {m} dollars.", "That sounds fair."}, ". {B} agrees for {m} dollars.", "yes", "they agree on {m} dollars"},
    {{"Yes, and {C} will come, too.", "Sure. I will come with {C}.", "With pleasure. May I bring {C}?", "{C} and I will be there.", "Good, if {C} may come, too.", "Of course. {C} comes with me.", "All right, but I bring {C}.", "Gladly, together with {C}.", "Yes. Is it all right if {C} comes with me?"},
     {"{C} is always welcome.", "Good, bring {C}.", "Of course, I like {C}.", "Great, I will see you both.", "The more the better.", "Sure, all of us together."}, ". {B} agrees and brings {C}.", "yes", "{B} will bring {C}"},
    {{"{C} needs me {d}.", "I promised to help {C} {d}.", "No, I am with {C} {d}.", "I have to be with {C} {d}.", "Sorry, {d} I help {C}.", "No, {d} I have to help {C}.", "I can't. {C} needs my help {d}.", "Not now. {d} I have to go to {C}.", "Sorry, but I told {C} I would help {d}."},
     {"Then I will do it alone.", "I see. Say hello to {C}.", "{C} is lucky.", "What a pity, but thanks.", "I understand.", "Too bad. Another time, then."}, ", but {B} has to help {C} {d}.", "no", "{B} has to help {C} {d}"},
    {{"Yes, come to my house {t}.", "I will be at home {t}. Come then.", "Good. Meet me at my house {t}.", "Sure, I am at home {t}.", "All right. I will wait for you at home {t}.", "Of course. Ring my bell {t}.", "Yes. You will find me at home {t}.", "Gladly. Come to my door {t}.", "With pleasure. I get home {t}, so come then."},
     {"I will come to your house.", "Good, I will be there.", "Fine, I know your house.", "Thanks, I will ring the bell.", "Great, until then.", "Perfect, I will come."}, ". {B} agrees and waits at home {t}.", "yes", "{B} waits at home {t}"},
    {{"No, I don't want to.", "I don't feel like it.", "Not me. I don't like that.", "No, leave me alone.", "Please don't ask me that.", "I would rather not.", "No, thanks. I don't feel like it.", "Sorry, I don't want to.", "To be honest, I would rather not."},
     {"Why are you so unfriendly?", "Then I won't ask you again.", "As you like.", "Fine, then don't.", "That's not nice of you.", "All right, I only asked."}, ", but {B} does not want to.", "no", "{B} does not want to"},
};

static const char *const greetings[MOST] = {"{A}, good to see you.", "Hi.", "Good evening, {A}.", "Hi {A}.", "Hello {A}, how are you?", "Good morning, {A}.", "Nice to see you, {A}!"};

typedef struct dialogue {
    const request *request;
    ending ending;
    slots slots;
    bool asked, answered;  // the request is part of it; its answer is
    int turns;
    bool by_b[8];  // who speaks
    text turn[8], whole, summary;
} dialogue;

static void turn(dialogue *d, bool by_b, const char *pattern) {
    d->by_b[d->turns] = by_b;
    say(&d->turn[d->turns], pattern, &d->slots);
    if (d->turns) put(&d->whole, "\n");
    put(&d->whole, by_b ? d->slots.b : d->slots.a);
    put(&d->whole, ": ");
    put(&d->whole, d->turn[d->turns++].data);
}

static void make_part(dialogue *d, bool asked, bool answered) {
    memset(d, 0, sizeof(*d));
    d->asked = asked, d->answered = answered;
    int r, e;
    do r = below(COUNT(requests)), e = below(COUNT(endings));
    while ((e == r % COUNT(endings)) != (split != TRAIN));  // a scene is of the training split or held out
    d->request = &requests[r], d->ending = (ending)e;
    d->slots = draw(d->request->what);
    if (below(4) == 0) turn(d, true, phrase(greetings));
    if (asked) {
        turn(d, false, phrase(d->request->ask));
        turn(d, true, phrase(d->request->question));
        turn(d, false, phrase(d->request->detail));
    }
    if (answered) {
        turn(d, true, phrase(endings[e].reply));
        turn(d, false, phrase(endings[e].close));
    }
    say(&d->summary, d->request->summary, &d->slots);
    fill(&d->summary, endings[e].summary, &d->slots);
}

static void make_dialogue(dialogue *d) { make_part(d, true, true); }

// One in four is a half, so that what is asked and how it ends are learned apart.
static void make_whole_or_half(dialogue *d) {
    int half = below(8);
    make_part(d, half != 0, half != 1);
}

// ---- output

static void json_string(const char *s) {
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') putchar('\\');
        if (*s == '\n') fputs("\\n", stdout);
        else putchar(*s);
    }
    putchar('"');
}

static void line(const char *task, const char *prompt, const char *completion) {
    fputs("{\"task\":", stdout);
    json_string(task);
    fputs(",\"prompt\":", stdout);
    json_string(prompt);
    fputs(",\"completion\":", stdout);
    json_string(completion);
    fputs("}\n", stdout);
}

// "%" in the form is where the text goes
static void framed(const char *task, const char *form, const char *body, const char *completion) {
    text t = {{0}, 0};
    const char *at = strchr(form, '%');
    char before[256];
    snprintf(before, sizeof(before), "%.*s", (int)(at - form), form);
    put(&t, before);
    put(&t, body);
    put(&t, at + 1);
    line(task, t.data, completion);
}
#define FRAMED(task, body, completion, ...)                      \
    do {                                                         \
        static const char *const forms[] = {__VA_ARGS__};        \
        framed(task, ANY(forms), body, completion);              \
    } while (0)

// ---- tasks over dialogues

static void task_dialogsum(void) {
    dialogue d;
    make_dialogue(&d);
    fputs("{\"dialogue\":", stdout);
    json_string(d.whole.data);
    fputs(",\"summary\":", stdout);
    json_string(d.summary.data);
    fputs("}\n", stdout);
}

typedef struct fact {
    const char *label, *question, *answer;
} fact;

enum { COMMON_FACTS = 7, MAX_FACTS = 12 };  // the first seven every whole dialogue has

// What can be asked about a dialogue: the label in a form, the question, the answer.
static int facts_of(const dialogue *d, fact *f) {
    int n = 0;
    const request *r = d->request;
    const char *what = r->what == THINGS || r->what == SHOWS ? "the {o}" : "{o}";
    if (d->asked) {
        f[n++] = (fact){"who", r->who, "{A}"};
        f[n++] = (fact){"whom", r->whose, "{B}"};
        f[n++] = (fact){"what", r->object, what};
        f[n++] = (fact){"where", "Where?", "{p}"};
        f[n++] = (fact){"wish", "What does {A} want?", r->wish};
    }
    if (!d->answered) return n;
    f[n++] = (fact){"reply", "Does {B} agree?", endings[d->ending].answer};
    f[n++] = (fact){"end", "How does it end?", endings[d->ending].outcome};
    switch (d->ending) {
    case AGREE:
        f[n++] = (fact){"when", "When does {B} have time?", "{d} {t}"};
        f[n++] = (fact){"day", "On which day?", "{d}"};
        break;
    case REFUSE: f[n++] = (fact){"why", "Why does {B} not agree?", "{B} {R}"}; break;
    case REFER: f[n++] = (fact){"other", "Whom should {A} ask?", "{C}"}; break;
    case LATER: f[n++] = (fact){"when", "When will {B} call?", "{d}"}; break;
    case CONDITION: f[n++] = (fact){"bring", "What does {A} bring?", "{f}"}; break;
    case PAY: f[n++] = (fact){"price", "How many dollars?", "{m}"}; break;
    case WITH: f[n++] = (fact){"other", "Who comes with {B}?", "{C}"}; break;
    case BUSY:
        f[n++] = (fact){"other", "Whom does {B} help?", "{C}"};
        f[n++] = (fact){"when", "When does {B} have to help?", "{d}"};
        break;
    case HOME: f[n++] = (fact){"when", "When is {B} at home?", "{t}"}; break;
    case UNWILLING: break;
    }
    return n;
}

// A half stands beside the other half of other people's conversation half of the time: how one asks says nothing
// about how another answers.
static void put_body(text *t, const dialogue *d) {
    bool beside = d->asked != d->answered && below(2), before = below(2);
    dialogue other;
    while (beside) {
        make_part(&other, d->answered, d->asked);
        const slots *x = &other.slots, *y = &d->slots;
        if (x->a != y->a && x->a != y->b && x->b != y->a && x->b != y->b) break;
    }
    if (beside && before) put(t, other.whole.data), put(t, "\n\n");
    put(t, d->whole.data);
    if (beside && !before) put(t, "\n\n"), put(t, other.whole.data);
}

static void body_and_question(text *t, const dialogue *d, const char *question) {
    if (below(2)) {
        put(t, question);
        put(t, "\n\n");
        put_body(t, d);
    } else {
        put_body(t, d);
        put(t, below(2) ? "\n\nQuestion: " : "\n\n");
        put(t, question);
    }
}

static void task_dialogue_qa(void) {
    dialogue d;
    make_whole_or_half(&d);
    fact f[MAX_FACTS];
    int k = below(facts_of(&d, f));
    text question = {{0}, 0}, answer = {{0}, 0}, t = {{0}, 0};
    fill(&question, f[k].question, &d.slots);
    fill(&answer, f[k].answer, &d.slots);
    body_and_question(&t, &d, question.data);
    line("dialogue_qa", t.data, answer.data);
}

// Some of the facts in some order, with or without labels.
static int choose(int n, int *order, int most) {
    for (int i = 0; i < n; i++) order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int k = below(i + 1), o = order[i];
        order[i] = order[k], order[k] = o;
    }
    int count = 1 + below(most);
    if (count < most / 2 && below(2)) count = most;  // more to learn from one dialogue
    return count < n ? count : n;
}

static const char *const separators[] = {", ", "; ", " - ", " / "};

// The answers with joint[i] before answer i.
static void put_form(text *t, const dialogue *d, const int *order, int count, bool labels, const char *const *joint) {
    fact f[MAX_FACTS];
    facts_of(d, f);
    for (int i = 0; i < count; i++) {
        if (i) put(t, joint[i]);
        if (labels) put(t, f[order[i]].label), put(t, ": ");
        fill(t, f[order[i]].answer, &d->slots);
    }
}

// Words between facts: in one text, or in all texts of a prompt, the same ones.
static const char *const between[] = {" and ", ", ", " to ", " for ", " with ", " at ", " but ", " asks ", " wants ",
                                      " needs ", ": ", " from ", " - "};

static void draw_between(const char **joint, int count) {
    for (int i = 0; i < count; i++) joint[i] = ANY(between);
}

static void repeat(const char **joint, int count, const char *separator) {
    for (int i = 0; i < count; i++) joint[i] = separator;
}

// A pattern to be filled in: "Write: [who] asks [whom] for [what]."
static void task_pattern(void) {
    dialogue d;
    make_whole_or_half(&d);
    fact f[MAX_FACTS];
    const char *joint[MAX_FACTS];
    int order[MAX_FACTS], count = choose(facts_of(&d, f), order, 6);
    text ask = {{0}, 0}, answer = {{0}, 0}, t = {{0}, 0};
    draw_between(joint, count);
    put(&ask, "Write: ");
    for (int i = 0; i < count; i++) {
        if (i) put(&ask, joint[i]);
        put(&ask, "["), put(&ask, f[order[i]].label), put(&ask, "]");
    }
    put_form(&answer, &d, order, count, false, joint);
    put(&ask, "."), put(&answer, ".");
    body_and_question(&t, &d, ask.data);
    line("pattern", t.data, answer.data);
}

// The form: "who, where, why" asks for the facts of these labels.
static void task_form(void) {
    dialogue d;
    make_whole_or_half(&d);
    fact f[MAX_FACTS];
    int order[MAX_FACTS], count = choose(facts_of(&d, f), order, 6);
    bool labels = below(3) > 0;
    text ask = {{0}, 0}, answer = {{0}, 0}, t = {{0}, 0};
    put(&ask, labels ? "Fill in the form: " : "List in this order: ");
    for (int i = 0; i < count; i++) {
        if (i) put(&ask, ", ");
        put(&ask, f[order[i]].label);
    }
    const char *joint[MAX_FACTS];
    repeat(joint, count, ", ");
    put_form(&answer, &d, order, count, labels, joint);
    body_and_question(&t, &d, ask.data);
    line("form", t.data, answer.data);
}

static void task_turn(void) {
    dialogue d;
    make_dialogue(&d);
    static const char *const order[] = {"first", "second", "third", "fourth", "fifth", "sixth"};
    int k = below(d.turns);
    const char *who = d.by_b[k] ? d.slots.b : d.slots.a;
    text ask = {{0}, 0}, t = {{0}, 0};
    const char *answer = d.turn[k].data;
    switch (below(4)) {
    case 0:
        put(&ask, "Who says: "), put(&ask, d.turn[k].data);
        answer = who;
        break;
    case 1: put(&ask, "Repeat the "), put(&ask, order[k]), put(&ask, " turn."); break;
    case 2:
        k = d.turns - 1 - below(2);
        put(&ask, "What does "), put(&ask, d.by_b[k] ? d.slots.b : d.slots.a), put(&ask, " say last?");
        answer = d.turn[k].data;
        break;
    default:
        k = k ? k : 1;
        put(&ask, "What is the answer to: "), put(&ask, d.turn[k - 1].data);
        answer = d.turn[k].data;
    }
    body_and_question(&t, &d, ask.data);
    line("turn", t.data, answer);
}

// The turn behind those that are shown.
static void task_continue(void) {
    dialogue d;
    make_dialogue(&d);
    int keep = 1 + below(d.turns - 1);
    text body = {{0}, 0}, rest = {{0}, 0};
    for (int i = 0; i <= keep; i++) {
        text *t = i == keep ? &rest : &body;
        if (i && i < keep) put(t, "\n");
        put(t, d.by_b[i] ? d.slots.b : d.slots.a);
        put(t, ": ");
        put(t, d.turn[i].data);
    }
    FRAMED("continue", body.data, rest.data, "Continue the conversation.\n\n%", "%\n\nWhat comes next?", "%");
}

static void task_names(void) {
    dialogue d;
    make_dialogue(&d);
    text both = {{0}, 0};
    fill(&both, d.by_b[0] ? "{B} and {A}" : "{A} and {B}", &d.slots);
    FRAMED("names", d.whole.data, both.data, "Who is talking?\n\n%", "%\n\nName the speakers.",
           "Speakers of this conversation?\n\n%");
}

// ---- tasks over single sentences

typedef struct sentence {
    kind what;
    const char *says;
    fact facts[4];
} sentence;

static const sentence sentences[] = {
    {THINGS, "{A} took the {o} to {p} {d}.", {{"who", "Who took the {o}?", "{A}"}, {"what", "What did {A} take?", "the {o}"}, {"where", "Where is the {o}?", "{p}"}, {"when", "When?", "{d}"}}},
    {THINGS, "{A} borrowed the {o} from {B} {d}.", {{"who", "Who borrowed the {o}?", "{A}"}, {"what", "What did {A} borrow?", "the {o}"}, {"whom", "Who gave the {o} to {A}?", "{B}"}, {"when", "When?", "{d}"}}},
    {THINGS, "{A} lost the {o} at {p} {d}.", {{"who", "Who lost the {o}?", "{A}"}, {"what", "What did {A} lose?", "the {o}"}, {"where", "Where did {A} lose it?", "{p}"}, {"when", "When?", "{d}"}}},
    {THINGS, "{A} sold the {o} to {B} for {m} dollars.", {{"who", "Who sold the {o}?", "{A}"}, {"what", "What did {B} buy?", "the {o}"}, {"whom", "Who bought the {o}?", "{B}"}, {"price", "How many dollars?", "{m}"}}},
    {SHOWS, "{A} invited {B} to the {o} at {p}.", {{"who", "Who invited {B}?", "{A}"}, {"whom", "Whom did {A} invite?", "{B}"}, {"what", "What did they see?", "the {o}"}, {"where", "Where?", "{p}"}}},
    {SHOWS, "{A} saw the {o} with {B} {d}.", {{"who", "Who saw the {o}?", "{A}"}, {"whom", "Who was with {A}?", "{B}"}, {"what", "What did {A} see?", "the {o}"}, {"when", "When?", "{d}"}}},
    {FOODS, "{A} made {o} for {B} at {p}.", {{"who", "Who made {o}?", "{A}"}, {"whom", "For whom?", "{B}"}, {"what", "What did {A} make?", "{o}"}, {"where", "Where?", "{p}"}}},
    {FOODS, "{A} brings {o} to {p} {t}.", {{"who", "Who brings {o}?", "{A}"}, {"what", "What does {A} bring?", "{o}"}, {"where", "Where?", "{p}"}, {"when", "When?", "{t}"}}},
    {SUBJECTS, "{A} studied {o} with {B} {d}.", {{"who", "Who studied {o}?", "{A}"}, {"whom", "Who was with {A}?", "{B}"}, {"what", "What did {A} study?", "{o}"}, {"when", "When?", "{d}"}}},
    {THINGS, "{A} met {B} at {p} {d} {t}.", {{"who", "Who met {B}?", "{A}"}, {"whom", "Whom did {A} meet?", "{B}"}, {"where", "Where?", "{p}"}, {"when", "When?", "{d} {t}"}}},
    {THINGS, "{A} tells {B} to ask {C}.", {{"who", "Who speaks?", "{A}"}, {"whom", "To whom does {A} speak?", "{B}"}, {"other", "Whom should {B} ask?", "{C}"}, {NULL, NULL, NULL}}},
    {THINGS, "{A} {R} and calls {B} {d}.", {{"who", "Who calls?", "{A}"}, {"whom", "Whom does {A} call?", "{B}"}, {"when", "When?", "{d}"}, {"why", "Why?", "{A} {R}"}}},
    {THINGS, "{A} carried the {o} of {B} to {p}.", {{"who", "Who carried the {o}?", "{A}"}, {"whom", "Whose {o} is it?", "{B}"}, {"what", "What did {A} carry?", "the {o}"}, {"where", "Where is the {o}?", "{p}"}}},
    {THINGS, "{A} agrees with {B}, but {C} {R}.", {{"who", "Who agrees?", "{A}"}, {"whom", "With whom does {A} agree?", "{B}"}, {"other", "Who {R}?", "{C}"}, {NULL, NULL, NULL}}},
};

static const sentence *make_sentence(slots *s, text *t) {
    const sentence *x = &ANY(sentences);
    *s = draw(x->what);
    say(t, x->says, s);
    return x;
}

static int facts_in(const sentence *x) { return x->facts[3].label ? 4 : 3; }

// One to three sentences, a question about one of them.
static void task_entity(void) {
    text body = {{0}, 0}, question = {{0}, 0}, answer = {{0}, 0};
    int n = 1 + below(3), asked = below(n);
    for (int i = 0; i < n; i++) {
        slots s;
        if (i) put(&body, " ");
        const sentence *x = make_sentence(&s, &body);
        if (i != asked) continue;
        const fact *f = &x->facts[n > 1 ? below(2) : below(facts_in(x))];  // of several only what names its subject
        fill(&question, f->question, &s);
        fill(&answer, f->answer, &s);
    }
    put(&body, "\n\n");
    put(&body, question.data);
    FRAMED("entity", body.data, answer.data, "Answer the question.\n\n%", "%", "Read and answer: %");
}

// The facts of a sentence, in disorder, and its verb.
static void put_facts(text *t, const sentence *x, const slots *s) {
    int order[4], n = facts_in(x);
    const char *verb = strchr(x->says, ' ') + 1;
    char word[32];
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(verb, " "), verb);
    choose(n, order, 1);
    put(t, "verb: "), fill(t, word, s);
    for (int i = 0; i < n; i++) {
        put(t, ", "), put(t, x->facts[order[i]].label), put(t, ": ");
        fill(t, x->facts[order[i]].answer, s);
    }
}

static void task_write(void) {
    slots s;
    text t = {{0}, 0}, facts = {{0}, 0};
    put_facts(&facts, make_sentence(&s, &t), &s);
    FRAMED("write", facts.data, t.data, "Write a sentence.\n\n%", "%\n\nSentence:", "Make a sentence of: %");
}

enum { MAX_WORDS = 160 };

static int words_of(char *s, char **words) {
    int n = 0;
    for (char *w = strtok(s, " \n"); w && n < MAX_WORDS; w = strtok(NULL, " \n")) words[n++] = w;
    return n;
}

// A sentence, or its words in disorder: those only who copies can say.
static void task_copy(void) {
    slots s;
    text t = {{0}, 0}, mixed = {{0}, 0};
    make_sentence(&s, &t);
    if (below(2)) {
        char *words[MAX_WORDS];
        int order[MAX_WORDS], n = words_of(t.data, words);
        choose(n, order, 1);
        for (int i = 0; i < n; i++) put(&mixed, i ? " " : ""), put(&mixed, words[order[i]]);
        t = mixed;
    }
    FRAMED("copy", t.data, t.data, "Repeat: %", "Copy the sentence.\n\n%", "Say it again: %");
}

// A list of names, things and places: backwards, or one of its items.
static void task_list(void) {
    static const char *const order[] = {"first", "second", "third", "fourth", "fifth", "last"};
    const char *items[5];
    text body = {{0}, 0}, back = {{0}, 0};
    int n = 3 + below(3), of = below(3), k = below(n);
    for (int i = 0; i < n; i++) items[i] = of == 0 ? ANY(names) : of == 1 ? ANY(things) : ANY(places);
    for (int i = 0; i < n; i++) {
        if (i) put(&body, ", "), put(&back, ", ");
        put(&body, items[i]), put(&back, items[n - 1 - i]);
    }
    if (below(2)) {
        FRAMED("list", body.data, back.data, "Backwards: %", "Reverse the list.\n\n%");
    } else {
        text ask = {{0}, 0};
        put(&ask, "Which is the "), put(&ask, order[k == n - 1 && below(2) ? 5 : k]), put(&ask, "?\n\n%");
        framed("list", ask.data, body.data, items[k]);
    }
}

// Span corruption (Raffel et al., 2020): spans of words become numbered gaps, the answer says what they were.
static void task_spans(void) {
    text source = {{0}, 0}, hidden = {{0}, 0}, answer = {{0}, 0};
    char name[32];
    if (below(3)) {
        dialogue d;
        make_dialogue(&d);
        put(&source, d.whole.data);
    } else {
        slots s;
        for (int i = 0; i < 3; i++) {
            if (i) put(&source, " ");
            make_sentence(&s, &source);
        }
    }
    char *words[MAX_WORDS];
    int n = words_of(source.data, words), spans = 0, first = below(4);
    for (int i = 0; i < n;) {
        int length = 1 + below(3);
        if (i >= first && below(7) == 0 && i + length <= n && spans < 9) {
            snprintf(name, sizeof(name), "(%d)", ++spans);
            if (hidden.n) put(&hidden, " ");
            put(&hidden, name);
            if (answer.n) put(&answer, " ");
            put(&answer, name);
            for (; length > 0; length--) put(&answer, " "), put(&answer, words[i++]);
        }
        if (i == n) break;
        if (hidden.n) put(&hidden, " ");
        put(&hidden, words[i++]);
    }
    if (spans) FRAMED("spans", hidden.data, answer.data, "What is missing?\n\n%", "Fill in the gaps.\n\n%");
    else task_spans();
}

static const char *const good[] = {"wonderful", "great", "lovely", "excellent", "perfect", "beautiful", "delightful", "superb"};
static const char *const bad[] = {"terrible", "awful", "boring", "ugly", "dreadful", "poor", "horrible", "disappointing"};

static bool make_review(text *t) {
    static const char *const forms[] = {"The {o} at {p} was ", "We saw the {o} at {p}. It was ", "{A} says the {o} was ", "I went to {p} and it was "};
    slots s = draw(below(2) ? THINGS : SHOWS);
    bool positive = below(2);
    say(t, ANY(forms), &s);
    put(t, positive ? ANY(good) : ANY(bad));
    put(t, below(3) ? "." : positive ? ". I will come again." : ". Never again.");
    return positive;
}

static void task_sentiment(void) {
    text t = {{0}, 0};
    bool positive = make_review(&t);
    FRAMED("sentiment", t.data, positive ? "positive" : "negative", "Is this review positive or negative?\n\n%",
           "Review: %\n\nSentiment:", "%\n\nHow does the writer feel?");
}

static void task_arithmetic(void) {
    static const char *const words[] = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
                                        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"};
    int a = below(10), b = below(10), minus = below(2);
    if (minus && b > a) {
        int c = a;
        a = b;
        b = c;
    }
    char body[128];
    snprintf(body, sizeof(body), "%s %s %s", words[a], minus ? "minus" : "plus", words[b]);
    FRAMED("arithmetic", body, words[minus ? a - b : a + b], "What is %?", "Calculate: %", "% is");
}

// ---- examples in the prompt: what is to be done, only they say

static const char *const heads[][2] = {{"Input", "Output"}, {"Text", "Answer"}, {"Sentence", "Note"}, {"Dialogue", "Note"}, {"Review", "Label"}, {"Conversation", "Result"}};
static const char *const labels[][2] = {{"positive", "negative"}, {"good", "bad"}, {"happy", "sad"}, {"plus", "minus"}, {"one", "two"}, {"left", "right"}};

static void put_shot(text *t, const char *const *head, const char *input, const char *output) {
    put(t, head[0]), put(t, ": "), put(t, input), put(t, "\n"), put(t, head[1]), put(t, ":");
    if (output) put(t, " "), put(t, output), put(t, "\n\n");
}

static const char *any_word(void) {
    int k = below(4);
    return k == 0 ? ANY(things) : k == 1 ? ANY(foods) : k == 2 ? ANY(subjects) : ANY(prices);
}

static void task_shots(void) {
    const char *const *head = ANY(heads);
    text prompt = {{0}, 0}, output = {{0}, 0};
    int shots = 1 + below(4);
    if (below(2)) {  // names of the two classes, any words: what they mean the examples say, the first two one of each
        const char *two[2], *const *usual = ANY(labels);
        bool swap = below(2), free = below(3) > 0, kind = false;
        shots = 2 + below(5);
        do two[0] = free ? any_word() : usual[swap], two[1] = free ? any_word() : usual[!swap];
        while (two[0] == two[1]);
        for (int i = 0; i <= shots; i++) {
            text t = {{0}, 0};
            output.n = 0;
            bool wanted = !kind;
            do t.n = 0, kind = make_review(&t);
            while (i == 1 && kind != wanted);
            put(&output, two[kind]);
            put_shot(&prompt, head, t.data, i < shots ? output.data : NULL);
        }
    } else if (below(4) == 0) {  // a sentence of its facts
        const sentence *x = &ANY(sentences);
        for (int i = 0; i <= shots; i++) {
            slots s = draw(x->what);
            text t = {{0}, 0};
            output.n = 0;
            put_facts(&t, x, &s);
            say(&output, x->says, &s);
            put_shot(&prompt, head, t.data, i < shots ? output.data : NULL);
        }
    } else {  // some of the facts of a sentence
        const sentence *x = &ANY(sentences);
        int order[4], count = choose(facts_in(x), order, 3), label = below(4) == 0;
        const char *separator = ANY(separators);
        for (int i = 0; i <= shots; i++) {
            slots s = draw(x->what);
            text t = {{0}, 0};
            output.n = 0;
            say(&t, x->says, &s);
            for (int k = 0; k < count; k++) {
                if (k) put(&output, separator);
                if (label) put(&output, x->facts[order[k]].label), put(&output, ": ");
                fill(&output, x->facts[order[k]].answer, &s);
            }
            put_shot(&prompt, head, t.data, i < shots ? output.data : NULL);
        }
    }
    line("shots", prompt.data, output.data);
}

static void task_dialogue_shots(void) {
    const char *const *head = heads[3 + 2 * below(2)], *separator = ANY(separators);
    text prompt = {{0}, 0}, output = {{0}, 0};
    const char *joint[COMMON_FACTS];
    int order[COMMON_FACTS], count = choose(COMMON_FACTS, order, 5), label = below(3) == 0, pattern = below(2);
    draw_between(joint, count);
    if (!pattern) repeat(joint, count, separator);
    for (int i = 0, shots = 1 + below(2); i <= shots; i++) {
        dialogue d;
        make_dialogue(&d);
        output.n = 0;
        put_form(&output, &d, order, count, label && !pattern, joint);
        if (pattern) put(&output, ".");
        put_shot(&prompt, head, d.whole.data, i < shots ? output.data : NULL);
    }
    line("dialogue_shots", prompt.data, output.data);
}

typedef struct task {
    const char *name, *says;
    int weight;  // in the mixture
    void (*make)(void);
} task;

static const task tasks[] = {
    {"dialogsum", "dialogue, summary: the target of the demonstration, never part of mixture", 0, task_dialogsum},
    {"form", "facts of a dialogue, in the order that is asked for", 6, task_form},
    {"pattern", "facts of a dialogue, in a pattern of words", 4, task_pattern},
    {"dialogue_qa", "a question about a dialogue", 6, task_dialogue_qa},
    {"turn", "who says what in a dialogue", 2, task_turn},
    {"continue", "the next turn of a dialogue", 1, task_continue},
    {"names", "who is talking", 1, task_names},
    {"dialogue_shots", "facts of a dialogue as the examples before it show", 1, task_dialogue_shots},
    {"spans", "hidden words of a dialogue or of sentences", 2, task_spans},
    {"entity", "who, where, what", 5, task_entity},
    {"write", "a sentence of its facts", 2, task_write},
    {"shots", "facts of a sentence, or the class of a review, as the examples before it show", 5, task_shots},
    {"list", "a list backwards, or one of its items", 1, task_list},
    {"sentiment", "reviews", 1, task_sentiment},
    {"arithmetic", "small sums in words", 1, task_arithmetic},
    {"copy", "repeat a sentence, or its words in disorder", 2, task_copy},
};

static void mixture(void) {
    int all = 0, at = 0;
    for (int i = 0; i < COUNT(tasks); i++) all += tasks[i].weight;
    for (int k = below(all); k >= tasks[at].weight; at++) k -= tasks[at].weight;
    tasks[at].make();
}

// People, places, days and times, one a line: by these the demonstration sees whether a summary keeps to its dialogue.
static void lists(void) {
    for (int i = 0; i < COUNT(names); i++) puts(names[i]);
    for (int i = 0; i < COUNT(places); i++) puts(places[i] + strlen("the "));
    for (int i = 0; i < COUNT(days); i++) puts(days[i]);
    for (int i = 0; i < COUNT(times); i++) puts(times[i]);
}

static int usage(const char *wrong) {
    if (wrong) fprintf(stderr, "make_data: %s\n", wrong);
    fprintf(stderr, "usage: make_data TASK COUNT SEED [--split train|validation|test]\n       make_data --lists    people, places, "
                    "days and times\n  %-14s all tasks but dialogsum\n", "mixture");
    for (int i = 0; i < COUNT(tasks); i++) fprintf(stderr, "  %-14s %s\n", tasks[i].name, tasks[i].says);
    return 2;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--help") == 0) return usage(NULL) * 0;
    if (argc == 2 && strcmp(argv[1], "--lists") == 0) return lists(), 0;
    if (argc != 4 && !(argc == 6 && strcmp(argv[4], "--split") == 0)) return usage("three arguments are needed");
    static const char *const splits[] = {"train", "validation", "test"};
    for (split = argc == 6 ? 0 : TRAIN; argc == 6 && split < 3 && strcmp(argv[5], splits[split]) != 0;) split++;
    if (split == 3) return usage("the split is not train, validation or test");
    void (*make)(void) = strcmp(argv[1], "mixture") == 0 ? mixture : NULL;
    for (int i = 0; i < COUNT(tasks); i++)
        if (strcmp(argv[1], tasks[i].name) == 0) make = tasks[i].make;
    if (!make) return usage("unknown task");
    long count = strtol(argv[2], NULL, 10);
    if (count < 1) return usage("COUNT must be at least 1");
    state = strtoull(argv[3], NULL, 10) * 0xD1B54A32D192ED03ull + (uint64_t)split;
    while (count-- > 0) make();
    return 0;
}
