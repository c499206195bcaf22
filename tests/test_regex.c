// Regular expressions (chapter 2): answers of Python 3.11's re, bounds, steps, failing allocations,
// Oniguruma's dialect. cc -std=c11 -O1 -I. tests/test_regex.c -o build/test_regex -lm
#define PEFT_ONLY_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include "check.h"
#include "counter.h"
#include <stdio.h>

static int passed, failed;
static peft_context *ctx;
static peft__regex_scratch scratch;

static void check(bool ok, const char *what, const char *of) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s: %s (%s)\n", what, of, peft_error(ctx));
}

// What re.search (s), re.match (m), re.fullmatch (f) or all of re.finditer (a) find: first and last byte of
// the match and of each group; - is a group that took no part. The answers were written by Python 3.11.
static const struct {
    const char *pattern, *text;
    size_t n;
    char mode;
    const char *answer;
} cases[] = {
    {".*\\.(q|v)_proj", "model.layers.0.self_attn.q_proj", 31, 'f', "0-31 25-26"},
    {".*\\.(q|v)_proj", "model.layers.11.mlp.down_proj", 29, 'f', "no"},
    {".*\\.(q|v)_proj", "encoder.block.3.layer.0.SelfAttention.q", 39, 'f', "no"},
    {".*\\.(q|v)_proj", "lm_head", 7, 'f', "no"},
    {".*\\.(q|v)_proj", "visual.blocks.2.attn.qkv", 24, 'f', "no"},
    {".*\\.(q|v)_proj", "q_proj", 6, 'f', "no"},
    {".*\\.(q|v)_proj", "model.layers.1.self_attn.q_proj.lora", 36, 'f', "no"},
    {".*decoder.*(SelfAttention|EncDecAttention).*(q|v)$", "model.layers.0.self_attn.q_proj", 31, 'f', "no"},
    {".*decoder.*(SelfAttention|EncDecAttention).*(q|v)$", "model.layers.11.mlp.down_proj", 29, 'f', "no"},
    {".*decoder.*(SelfAttention|EncDecAttention).*(q|v)$", "encoder.block.3.layer.0.SelfAttention.q", 39, 'f',
     ""
     "no"},
    {".*decoder.*(SelfAttention|EncDecAttention).*(q|v)$", "lm_head", 7, 'f', "no"},
    {".*decoder.*(SelfAttention|EncDecAttention).*(q|v)$", "visual.blocks.2.attn.qkv", 24, 'f', "no"},
    {".*decoder.*(SelfAttention|EncDecAttention).*(q|v)$", "q_proj", 6, 'f', "no"},
    {".*decoder.*(SelfAttention|EncDecAttention).*(q|v)$", "model.layers.1.self_attn.q_proj.lora", 36, 'f', ""
     "no"},
    {"(?!.*visual).*(qkv|q_proj|down_proj)", "model.layers.0.self_attn.q_proj", 31, 'f', "0-31 25-31"},
    {"(?!.*visual).*(qkv|q_proj|down_proj)", "model.layers.11.mlp.down_proj", 29, 'f', "0-29 20-29"},
    {"(?!.*visual).*(qkv|q_proj|down_proj)", "encoder.block.3.layer.0.SelfAttention.q", 39, 'f', "no"},
    {"(?!.*visual).*(qkv|q_proj|down_proj)", "lm_head", 7, 'f', "no"},
    {"(?!.*visual).*(qkv|q_proj|down_proj)", "visual.blocks.2.attn.qkv", 24, 'f', "no"},
    {"(?!.*visual).*(qkv|q_proj|down_proj)", "q_proj", 6, 'f', "0-6 0-6"},
    {"(?!.*visual).*(qkv|q_proj|down_proj)", "model.layers.1.self_attn.q_proj.lora", 36, 'f', "no"},
    {"^(?!.*(?:visual|lm_head)).*\\.\\w+", "model.layers.0.self_attn.q_proj", 31, 'f', "0-31"},
    {"^(?!.*(?:visual|lm_head)).*\\.\\w+", "model.layers.11.mlp.down_proj", 29, 'f', "0-29"},
    {"^(?!.*(?:visual|lm_head)).*\\.\\w+", "encoder.block.3.layer.0.SelfAttention.q", 39, 'f', "0-39"},
    {"^(?!.*(?:visual|lm_head)).*\\.\\w+", "lm_head", 7, 'f', "no"},
    {"^(?!.*(?:visual|lm_head)).*\\.\\w+", "visual.blocks.2.attn.qkv", 24, 'f', "no"},
    {"^(?!.*(?:visual|lm_head)).*\\.\\w+", "q_proj", 6, 'f', "no"},
    {"^(?!.*(?:visual|lm_head)).*\\.\\w+", "model.layers.1.self_attn.q_proj.lora", 36, 'f', "0-36"},
    {"model\\.layers\\.(?:[0-4]|11)\\..*proj", "model.layers.0.self_attn.q_proj", 31, 'f', "0-31"},
    {"model\\.layers\\.(?:[0-4]|11)\\..*proj", "model.layers.11.mlp.down_proj", 29, 'f', "0-29"},
    {"model\\.layers\\.(?:[0-4]|11)\\..*proj", "encoder.block.3.layer.0.SelfAttention.q", 39, 'f', "no"},
    {"model\\.layers\\.(?:[0-4]|11)\\..*proj", "lm_head", 7, 'f', "no"},
    {"model\\.layers\\.(?:[0-4]|11)\\..*proj", "visual.blocks.2.attn.qkv", 24, 'f', "no"},
    {"model\\.layers\\.(?:[0-4]|11)\\..*proj", "q_proj", 6, 'f', "no"},
    {"model\\.layers\\.(?:[0-4]|11)\\..*proj", "model.layers.1.self_attn.q_proj.lora", 36, 'f', "no"},
    {".*layers\\.\\d{1,2}\\.(self_attn|mlp)\\.[qd]\\w*", "model.layers.0.self_attn.q_proj", 31, 'f', "0-31 "
     "15-24"},
    {".*layers\\.\\d{1,2}\\.(self_attn|mlp)\\.[qd]\\w*", "model.layers.11.mlp.down_proj", 29, 'f', "0-29 16"
     "-19"},
    {".*layers\\.\\d{1,2}\\.(self_attn|mlp)\\.[qd]\\w*", "encoder.block.3.layer.0.SelfAttention.q", 39, 'f',
     ""
     "no"},
    {".*layers\\.\\d{1,2}\\.(self_attn|mlp)\\.[qd]\\w*", "lm_head", 7, 'f', "no"},
    {".*layers\\.\\d{1,2}\\.(self_attn|mlp)\\.[qd]\\w*", "visual.blocks.2.attn.qkv", 24, 'f', "no"},
    {".*layers\\.\\d{1,2}\\.(self_attn|mlp)\\.[qd]\\w*", "q_proj", 6, 'f', "no"},
    {".*layers\\.\\d{1,2}\\.(self_attn|mlp)\\.[qd]\\w*", "model.layers.1.self_attn.q_proj.lora", 36, 'f', ""
     "no"},
    {"(?:(?!self_attn).)*", "model.layers.0.self_attn.q_proj", 31, 'f', "no"},
    {"(?:(?!self_attn).)*", "model.layers.11.mlp.down_proj", 29, 'f', "0-29"},
    {"(?:(?!self_attn).)*", "encoder.block.3.layer.0.SelfAttention.q", 39, 'f', "0-39"},
    {"(?:(?!self_attn).)*", "lm_head", 7, 'f', "0-7"},
    {"(?:(?!self_attn).)*", "visual.blocks.2.attn.qkv", 24, 'f', "0-24"},
    {"(?:(?!self_attn).)*", "q_proj", 6, 'f', "0-6"},
    {"(?:(?!self_attn).)*", "model.layers.1.self_attn.q_proj.lora", 36, 'f', "no"},
    {".*(?<!lora)$", "model.layers.0.self_attn.q_proj", 31, 'f', "0-31"},
    {".*(?<!lora)$", "model.layers.11.mlp.down_proj", 29, 'f', "0-29"},
    {".*(?<!lora)$", "encoder.block.3.layer.0.SelfAttention.q", 39, 'f', "0-39"},
    {".*(?<!lora)$", "lm_head", 7, 'f', "0-7"}, {".*(?<!lora)$", "visual.blocks.2.attn.qkv", 24, 'f', "0-24"
     ""},
    {".*(?<!lora)$", "q_proj", 6, 'f', "0-6"},
    {".*(?<!lora)$", "model.layers.1.self_attn.q_proj.lora", 36, 'f', "no"},
    {"(?i).*selfattention.*", "model.layers.0.self_attn.q_proj", 31, 'f', "no"},
    {"(?i).*selfattention.*", "model.layers.11.mlp.down_proj", 29, 'f', "no"},
    {"(?i).*selfattention.*", "encoder.block.3.layer.0.SelfAttention.q", 39, 'f', "0-39"},
    {"(?i).*selfattention.*", "lm_head", 7, 'f', "no"},
    {"(?i).*selfattention.*", "visual.blocks.2.attn.qkv", 24, 'f', "no"},
    {"(?i).*selfattention.*", "q_proj", 6, 'f', "no"},
    {"(?i).*selfattention.*", "model.layers.1.self_attn.q_proj.lora", 36, 'f', "no"},
    {".*_proj|lm_head", "model.layers.0.self_attn.q_proj", 31, 'f', "0-31"},
    {".*_proj|lm_head", "model.layers.11.mlp.down_proj", 29, 'f', "0-29"},
    {".*_proj|lm_head", "encoder.block.3.layer.0.SelfAttention.q", 39, 'f', "no"},
    {".*_proj|lm_head", "lm_head", 7, 'f', "0-7"},
    {".*_proj|lm_head", "visual.blocks.2.attn.qkv", 24, 'f', "no"},
    {".*_proj|lm_head", "q_proj", 6, 'f', "0-6"},
    {".*_proj|lm_head", "model.layers.1.self_attn.q_proj.lora", 36, 'f', "no"},
    {"(.*\\.)?(q_proj)$", "model.layers.0.self_attn.q_proj", 31, 'm', "0-31 0-25 25-31"},
    {"(.*\\.)?(q_proj)$", "model.layers.11.mlp.down_proj", 29, 'm', "no"},
    {"(.*\\.)?(q_proj)$", "encoder.block.3.layer.0.SelfAttention.q", 39, 'm', "no"},
    {"(.*\\.)?(q_proj)$", "lm_head", 7, 'm', "no"},
    {"(.*\\.)?(q_proj)$", "visual.blocks.2.attn.qkv", 24, 'm', "no"},
    {"(.*\\.)?(layers.0.self_attn.q_proj)$", "model.layers.0.self_attn.q_proj", 31, 'm', "0-31 0-6 6-31"},
    {"(.*\\.)?(layers.0.self_attn.q_proj)$", "model.layers.11.mlp.down_proj", 29, 'm', "no"},
    {"(.*\\.)?(layers.0.self_attn.q_proj)$", "encoder.block.3.layer.0.SelfAttention.q", 39, 'm', "no"},
    {"(.*\\.)?(layers.0.self_attn.q_proj)$", "lm_head", 7, 'm', "no"},
    {"(.*\\.)?(layers.0.self_attn.q_proj)$", "visual.blocks.2.attn.qkv", 24, 'm', "no"},
    {"(.*\\.)?(layers\\.1\\d?\\..*)$", "model.layers.0.self_attn.q_proj", 31, 'm', "no"},
    {"(.*\\.)?(layers\\.1\\d?\\..*)$", "model.layers.11.mlp.down_proj", 29, 'm', "0-29 0-6 6-29"},
    {"(.*\\.)?(layers\\.1\\d?\\..*)$", "encoder.block.3.layer.0.SelfAttention.q", 39, 'm', "no"},
    {"(.*\\.)?(layers\\.1\\d?\\..*)$", "lm_head", 7, 'm', "no"},
    {"(.*\\.)?(layers\\.1\\d?\\..*)$", "visual.blocks.2.attn.qkv", 24, 'm', "no"},
    {"(.*\\.)?(.*q)$", "model.layers.0.self_attn.q_proj", 31, 'm', "no"},
    {"(.*\\.)?(.*q)$", "model.layers.11.mlp.down_proj", 29, 'm', "no"},
    {"(.*\\.)?(.*q)$", "encoder.block.3.layer.0.SelfAttention.q", 39, 'm', "0-39 0-38 38-39"},
    {"(.*\\.)?(.*q)$", "lm_head", 7, 'm', "no"},
    {"(.*\\.)?(.*q)$", "visual.blocks.2.attn.qkv", 24, 'm', "no"},
    {"(.*\\.)?(lm_head|q)$", "model.layers.0.self_attn.q_proj", 31, 'm', "no"},
    {"(.*\\.)?(lm_head|q)$", "model.layers.11.mlp.down_proj", 29, 'm', "no"},
    {"(.*\\.)?(lm_head|q)$", "encoder.block.3.layer.0.SelfAttention.q", 39, 'm', "0-39 0-38 38-39"},
    {"(.*\\.)?(lm_head|q)$", "lm_head", 7, 'm', "0-7 - 0-7"},
    {"(.*\\.)?(lm_head|q)$", "visual.blocks.2.attn.qkv", 24, 'm', "no"},
    {"'(?:[sdmt]|ll|ve|re)| ?\\w+| ?[^\\s\\w]+|\\s+(?!\\S)|\\s+", "Tom's 3 apples,  DON'T  cost 42\342\202"
     "\254 \n\n\344\273\212\346\227\245\343\201\257 ok!", 50, 'a', "0-3; 3-5; 5-7; 7-14; 14-15; 15-16; 16-2"
     "0; 20-21; 21-22; 22-23; 23-28; 28-31; 31-34; 34-36; 36-37; 37-46; 46-49; 49-50"},
    {"'(?:[sdmt]|ll|ve|re)| ?\\w+| ?[^\\s\\w]+|\\s+(?!\\S)|\\s+", "   a", 4, 'a', "0-2; 2-4"},
    {"'(?:[sdmt]|ll|ve|re)| ?\\w+| ?[^\\s\\w]+|\\s+(?!\\S)|\\s+", "a   ", 4, 'a', "0-1; 1-4"},
    {"'(?:[sdmt]|ll|ve|re)| ?\\w+| ?[^\\s\\w]+|\\s+(?!\\S)|\\s+", "", 0, 'a', ""},
    {"\\d{1,3}(?=(?:\\d{3})*\\b)", "1234567 12 1000", 15, 'a', "0-1; 1-4; 4-7; 8-10; 11-12; 12-15"},
    {"[^\\r\\n\\w]?[a-z]+|\\d++| ?[^\\s\\w]++[\\r\\n]*+|\\s++$|\\s+(?!\\S)|\\s", "Hello  World 123\n!! x \n"
     " ", 24, 'a', "1-5; 5-6; 6-7; 8-12; 12-13; 13-16; 16-17; 17-19; 19-21; 21-24"},
    {"abc", "abc", 3, 's', "0-3"}, {"abc", "abc", 3, 'f', "0-3"}, {"abc", "xabcx", 5, 's', "1-4"},
    {"abc", "xabcx", 5, 'f', "no"}, {"abc", "ab", 2, 's', "no"}, {"abc", "ab", 2, 'f', "no"},
    {"a|ab|abc", "abc", 3, 's', "0-1"}, {"a|ab|abc", "abc", 3, 'f', "0-3"},
    {"abc|ab|a", "abc", 3, 's', "0-3"}, {"abc|ab|a", "abc", 3, 'f', "0-3"},
    {"(a|ab)(c|bcd)(d*)", "abcd", 4, 's', "0-4 0-1 1-4 4-4"},
    {"(a|ab)(c|bcd)(d*)", "abcd", 4, 'f', "0-4 0-1 1-4 4-4"}, {"a*", "", 0, 's', "0-0"},
    {"a*", "", 0, 'f', "0-0"}, {"a*", "aaa", 3, 's', "0-3"}, {"a*", "aaa", 3, 'f', "0-3"},
    {"a*", "baa", 3, 's', "0-0"}, {"a*", "baa", 3, 'f', "no"}, {"a*?", "aaa", 3, 's', "0-0"},
    {"a*?", "aaa", 3, 'f', "0-3"}, {"a+?b", "aaab", 4, 's', "0-4"}, {"a+?b", "aaab", 4, 'f', "0-4"},
    {"(a+)(b+)?", "aab", 3, 's', "0-3 0-2 2-3"}, {"(a+)(b+)?", "aab", 3, 'f', "0-3 0-2 2-3"},
    {"(a+)(b+)?", "aa", 2, 's', "0-2 0-2 -"}, {"(a+)(b+)?", "aa", 2, 'f', "0-2 0-2 -"},
    {"(a*)*", "aa", 2, 's', "0-2 2-2"}, {"(a*)*", "aa", 2, 'f', "0-2 2-2"}, {"(a*)*", "b", 1, 's', "0-0 0-0"
     ""},
    {"(a*)*", "b", 1, 'f', "no"}, {"(a*)*", "", 0, 's', "0-0 0-0"}, {"(a*)*", "", 0, 'f', "0-0 0-0"},
    {"(a*)+", "aa", 2, 's', "0-2 2-2"}, {"(a*)+", "aa", 2, 'f', "0-2 2-2"}, {"(a*)+", "b", 1, 's', "0-0 0-0"
     ""},
    {"(a*)+", "b", 1, 'f', "no"}, {"(a|b)*", "abab", 4, 's', "0-4 3-4"},
    {"(a|b)*", "abab", 4, 'f', "0-4 3-4"}, {"(?:|a)*", "aa", 2, 's', "0-0"}, {"(?:|a)*", "aa", 2, 'f', "0-2"
     ""},
    {"(?:|a)*$", "aa", 2, 's', "0-2"}, {"(?:|a)*$", "aa", 2, 'f', "0-2"}, {"(|a)+", "aaa", 3, 's', "0-0 0-0"
     ""},
    {"(|a)+", "aaa", 3, 'f', "0-3 3-3"}, {"(?:a?){3}", "aa", 2, 's', "0-2"},
    {"(?:a?){3}", "aa", 2, 'f', "0-2"}, {"(a?)*?b", "aab", 3, 's', "0-3 1-2"},
    {"(a?)*?b", "aab", 3, 'f', "0-3 1-2"}, {"(a?\?)*?b", "aab", 3, 's', "0-3 1-2"},
    {"(a?\?)*?b", "aab", 3, 'f', "0-3 1-2"}, {"((a)|(b))*", "ab", 2, 's', "0-2 1-2 0-1 1-2"},
    {"((a)|(b))*", "ab", 2, 'f', "0-2 1-2 0-1 1-2"}, {"((a)|(b))*", "ba", 2, 's', "0-2 1-2 1-2 0-1"},
    {"((a)|(b))*", "ba", 2, 'f', "0-2 1-2 1-2 0-1"}, {"(a*)(a*)", "aaa", 3, 's', "0-3 0-3 3-3"},
    {"(a*)(a*)", "aaa", 3, 'f', "0-3 0-3 3-3"}, {"(a*?)(a*)$", "aaa", 3, 's', "0-3 0-0 0-3"},
    {"(a*?)(a*)$", "aaa", 3, 'f', "0-3 0-0 0-3"}, {"x{2}", "xx", 2, 's', "0-2"},
    {"x{2}", "xx", 2, 'f', "0-2"}, {"x{2}", "x", 1, 's', "no"}, {"x{2}", "x", 1, 'f', "no"},
    {"x{2,}", "xxxx", 4, 's', "0-4"}, {"x{2,}", "xxxx", 4, 'f', "0-4"}, {"x{2,}", "x", 1, 's', "no"},
    {"x{2,}", "x", 1, 'f', "no"}, {"x{,2}", "xxxx", 4, 's', "0-2"}, {"x{,2}", "xxxx", 4, 'f', "no"},
    {"x{,2}", "", 0, 's', "0-0"}, {"x{,2}", "", 0, 'f', "0-0"}, {"x{2,3}?", "xxxx", 4, 's', "0-2"},
    {"x{2,3}?", "xxxx", 4, 'f', "no"}, {"x{0}y", "xy", 2, 's', "1-2"}, {"x{0}y", "xy", 2, 'f', "no"},
    {"x{", "x{", 2, 's', "0-2"}, {"x{", "x{", 2, 'f', "0-2"}, {"x{a}", "x{a}", 4, 's', "0-4"},
    {"x{a}", "x{a}", 4, 'f', "0-4"}, {"x{1,b}", "x{1,b}", 6, 's', "0-6"}, {"x{1,b}", "x{1,b}", 6, 'f', "0-6"
     ""},
    {"x{2}{", "xx{", 3, 's', "0-3"}, {"a{2,3}b{0,1}c*", "aaabcc", 6, 's', "0-6"},
    {"a{2,3}b{0,1}c*", "aaabcc", 6, 'f', "0-6"}, {".", "\n", 1, 's', "no"}, {".", "\n", 1, 'f', "no"},
    {".", "\303\251", 2, 's', "0-2"}, {".", "\303\251", 2, 'f', "0-2"},
    {".", "\360\237\230\200", 4, 's', "0-4"}, {".", "\360\237\230\200", 4, 'f', "0-4"},
    {"(?s).", "\n", 1, 's', "0-1"}, {"(?s).", "\n", 1, 'f', "0-1"}, {".*", "ab\ncd", 5, 's', "0-2"},
    {".*", "ab\ncd", 5, 'f', "no"}, {"(?s).*", "ab\ncd", 5, 's', "0-5"}, {"(?s).*", "ab\ncd", 5, 'f', "0-5"},
    {"^a", "a", 1, 's', "0-1"}, {"^a", "a", 1, 'f', "0-1"}, {"^a", "ba", 2, 's', "no"},
    {"^a", "ba", 2, 'f', "no"}, {"^a", "\na", 2, 's', "no"}, {"^a", "\na", 2, 'f', "no"},
    {"(?m)^a", "\na", 2, 's', "1-2"}, {"(?m)^a", "\na", 2, 'f', "no"}, {"(?m)^a", "b\na", 3, 's', "2-3"},
    {"(?m)^a", "b\na", 3, 'f', "no"}, {"a$", "a", 1, 's', "0-1"}, {"a$", "a", 1, 'f', "0-1"},
    {"a$", "a\n", 2, 's', "0-1"}, {"a$", "a\n", 2, 'f', "no"}, {"a$", "a\n\n", 3, 's', "no"},
    {"a$", "a\n\n", 3, 'f', "no"}, {"a$", "ab", 2, 's', "no"}, {"a$", "ab", 2, 'f', "no"},
    {"(?m)a$", "a\nb", 3, 's', "0-1"}, {"(?m)a$", "a\nb", 3, 'f', "no"}, {"a\\Z", "a\n", 2, 's', "no"},
    {"a\\Z", "a\n", 2, 'f', "no"}, {"a\\Z", "ba", 2, 's', "1-2"}, {"a\\Z", "ba", 2, 'f', "no"},
    {"\\Aa", "a", 1, 's', "0-1"}, {"\\Aa", "a", 1, 'f', "0-1"}, {"\\Aa", "\na", 2, 's', "no"},
    {"\\Aa", "\na", 2, 'f', "no"}, {"^$", "", 0, 's', "0-0"}, {"^$", "", 0, 'f', "0-0"},
    {"^$", "\n", 1, 's', "0-0"}, {"^$", "\n", 1, 'f', "no"}, {"(?m)^$", "a\n\nb", 4, 's', "2-2"},
    {"(?m)^$", "a\n\nb", 4, 'f', "no"}, {"(?m)^$", "\n", 1, 's', "0-0"}, {"(?m)^$", "\n", 1, 'f', "no"},
    {"$", "a\n", 2, 's', "1-1"}, {"$", "a\n", 2, 'f', "no"}, {"\\bfoo\\b", "foo", 3, 's', "0-3"},
    {"\\bfoo\\b", "foo", 3, 'f', "0-3"}, {"\\bfoo\\b", "a foo b", 7, 's', "2-5"},
    {"\\bfoo\\b", "a foo b", 7, 'f', "no"}, {"\\bfoo\\b", "foobar", 6, 's', "no"},
    {"\\bfoo\\b", "foobar", 6, 'f', "no"}, {"\\bfoo\\b", "_foo", 4, 's', "no"},
    {"\\bfoo\\b", "_foo", 4, 'f', "no"}, {"\\bfoo\\b", "\303\251foo", 5, 's', "no"},
    {"\\bfoo\\b", "\303\251foo", 5, 'f', "no"}, {"\\bfoo\\b", "foo-bar", 7, 's', "0-3"},
    {"\\bfoo\\b", "foo-bar", 7, 'f', "no"}, {"\\Boo", "foo", 3, 's', "1-3"}, {"\\Boo", "foo", 3, 'f', "no"},
    {"\\Boo", "oo", 2, 's', "no"}, {"\\Boo", "oo", 2, 'f', "no"}, {"\\B", "", 0, 's', "no"},
    {"\\B", "", 0, 'f', "no"}, {"\\B", "a", 1, 's', "no"}, {"\\B", "a", 1, 'f', "no"},
    {"\\B", "ab", 2, 's', "1-1"}, {"\\B", "ab", 2, 'f', "no"}, {"\\b", "", 0, 's', "no"},
    {"\\b", "", 0, 'f', "no"}, {"\\b", "a", 1, 's', "0-0"}, {"\\b", "a", 1, 'f', "no"},
    {"\\d+", "x12", 3, 's', "1-3"}, {"\\d+", "x12", 3, 'f', "no"},
    {"\\d+", "x\331\243\331\244", 5, 's', "1-5"}, {"\\d+", "x\331\243\331\244", 5, 'f', "no"},
    {"\\d+", "x\302\262", 3, 's', "no"}, {"\\d+", "x\302\262", 3, 'f', "no"}, {"\\D+", "12ab", 4, 's', "2-4"
     ""},
    {"\\D+", "12ab", 4, 'f', "no"}, {"\\w+", "!a\303\251_9\346\227\245!", 10, 's', "1-9"},
    {"\\w+", "!a\303\251_9\346\227\245!", 10, 'f', "no"}, {"\\w+", "\342\205\247\302\262x", 6, 's', "0-6"},
    {"\\w+", "\342\205\247\302\262x", 6, 'f', "0-6"}, {"\\W+", "a!?b", 4, 's', "1-3"},
    {"\\W+", "a!?b", 4, 'f', "no"}, {"\\s+", "a \t\n\034\342\200\250\302\240b", 11, 's', "1-10"},
    {"\\s+", "a \t\n\034\342\200\250\302\240b", 11, 'f', "no"}, {"\\s+", "a\342\200\213b", 5, 's', "no"},
    {"\\s+", "a\342\200\213b", 5, 'f', "no"}, {"\\S+", "  ab ", 5, 's', "2-4"},
    {"\\S+", "  ab ", 5, 'f', "no"}, {"[abc]+", "xxcabx", 6, 's', "2-5"}, {"[abc]+", "xxcabx", 6, 'f', "no"},
    {"[^abc]+", "abxyc", 5, 's', "2-4"}, {"[^abc]+", "abxyc", 5, 'f', "no"},
    {"[a-c0-2]+", "zab1z9", 6, 's', "1-4"}, {"[a-c0-2]+", "zab1z9", 6, 'f', "no"},
    {"[]a]+", "x]a]", 4, 's', "1-4"}, {"[]a]+", "x]a]", 4, 'f', "no"}, {"[^]a]+", "]ax]", 4, 's', "2-3"},
    {"[^]a]+", "]ax]", 4, 'f', "no"}, {"[a-]+", "x-a", 3, 's', "1-3"}, {"[a-]+", "x-a", 3, 'f', "no"},
    {"[-a]+", "x-a", 3, 's', "1-3"}, {"[-a]+", "x-a", 3, 'f', "no"}, {"[\\w.]+", "!a.b!", 5, 's', "1-4"},
    {"[\\w.]+", "!a.b!", 5, 'f', "no"}, {"[\\d\\-x]+", "ax-1", 4, 's', "1-4"},
    {"[\\d\\-x]+", "ax-1", 4, 'f', "no"}, {"[^\\s\\d]+", " 1ab", 4, 's', "2-4"},
    {"[^\\s\\d]+", " 1ab", 4, 'f', "no"}, {"[\\]\\\\]+", "a\\]", 3, 's', "1-3"},
    {"[\\]\\\\]+", "a\\]", 3, 'f', "no"}, {"[.*+?(){}|^$]+", "a.*+?(){}|^$b", 13, 's', "1-12"},
    {"[.*+?(){}|^$]+", "a.*+?(){}|^$b", 13, 'f', "no"},
    {"[\316\261-\317\211]+", "ab\316\263\316\264!", 7, 's', "2-6"},
    {"[\316\261-\317\211]+", "ab\316\263\316\264!", 7, 'f', "no"}, {"[\\b]", "\010", 1, 's', "0-1"},
    {"[\\b]", "\010", 1, 'f', "0-1"}, {"[\\n\\t]+", "a\n\tb", 4, 's', "1-3"},
    {"[\\n\\t]+", "a\n\tb", 4, 'f', "no"}, {"[[a]+", "x[a", 3, 's', "1-3"}, {"[[a]+", "x[a", 3, 'f', "no"},
    {"[&&a]+", "x&a", 3, 's', "1-3"}, {"[&&a]+", "x&a", 3, 'f', "no"},
    {"\\x41\\u00e9\\101\\0", "A\303\251A\000", 5, 's', "0-5"},
    {"\\x41\\u00e9\\101\\0", "A\303\251A\000", 5, 'f', "0-5"},
    {"\\.\\*\\[\\]\\(\\)\\\\\\/\\-\\'", ".*[]()\\/-'", 10, 's', "0-10"},
    {"\\.\\*\\[\\]\\(\\)\\\\\\/\\-\\'", ".*[]()\\/-'", 10, 'f', "0-10"},
    {"\\a\\f\\v\\r\\t", "\007\014\013\015\t", 5, 's', "0-5"},
    {"\\a\\f\\v\\r\\t", "\007\014\013\015\t", 5, 'f', "0-5"}, {"[\\x41-\\x43]+", "xABC", 4, 's', "1-4"},
    {"[\\x41-\\x43]+", "xABC", 4, 'f', "no"}, {"\\U0001F600", "\360\237\230\200", 4, 's', "0-4"},
    {"\\U0001F600", "\360\237\230\200", 4, 'f', "0-4"}, {"[\\101]", "A", 1, 's', "0-1"},
    {"[\\101]", "A", 1, 'f', "0-1"}, {"\303\251\\.\303\237", "\303\251.\303\237", 5, 's', "0-5"},
    {"\303\251\\.\303\237", "\303\251.\303\237", 5, 'f', "0-5"}, {"(?i)abc", "ABC", 3, 's', "0-3"},
    {"(?i)abc", "ABC", 3, 'f', "0-3"}, {"(?i)abc", "aBc", 3, 's', "0-3"}, {"(?i)abc", "aBc", 3, 'f', "0-3"},
    {"(?i)abc", "abd", 3, 's', "no"}, {"(?i)abc", "abd", 3, 'f', "no"}, {"a(?i:b)c", "aBc", 3, 's', "0-3"},
    {"a(?i:b)c", "aBc", 3, 'f', "0-3"}, {"a(?i:b)c", "ABc", 3, 's', "no"}, {"a(?i:b)c", "ABc", 3, 'f', "no"},
    {"(?i)a(?-i:b)c", "AbC", 3, 's', "0-3"}, {"(?i)a(?-i:b)c", "AbC", 3, 'f', "0-3"},
    {"(?i)a(?-i:b)c", "ABC", 3, 's', "no"}, {"(?i)a(?-i:b)c", "ABC", 3, 'f', "no"},
    {"(?i)[a-c]+", "xABc", 4, 's', "1-4"}, {"(?i)[a-c]+", "xABc", 4, 'f', "no"},
    {"(?i)[^a]", "A", 1, 's', "no"}, {"(?i)[^a]", "A", 1, 'f', "no"}, {"(?i)[^a]", "b", 1, 's', "0-1"},
    {"(?i)[^a]", "b", 1, 'f', "0-1"}, {"(?i)\303\251", "\303\211", 2, 's', "0-2"},
    {"(?i)\303\251", "\303\211", 2, 'f', "0-2"}, {"(?i)stra\303\237e", "STRA\303\237E", 7, 's', "0-7"},
    {"(?i)stra\303\237e", "STRA\303\237E", 7, 'f', "0-7"}, {"(?i)stra\303\237e", "STRASSE", 7, 's', "no"},
    {"(?i)stra\303\237e", "STRASSE", 7, 'f', "no"}, {"(?i)s", "\305\277", 2, 's', "0-2"},
    {"(?i)s", "\305\277", 2, 'f', "0-2"}, {"(?i)K", "\342\204\252", 3, 's', "0-3"},
    {"(?i)K", "\342\204\252", 3, 'f', "0-3"}, {"(?i)[k]", "\342\204\252", 3, 's', "0-3"},
    {"(?i)[k]", "\342\204\252", 3, 'f', "0-3"}, {"(?i)i", "\304\260", 2, 's', "0-2"},
    {"(?i)i", "\304\260", 2, 'f', "0-2"}, {"(?i)i", "\304\261", 2, 's', "0-2"},
    {"(?i)i", "\304\261", 2, 'f', "0-2"}, {"(?i)i", "I", 1, 's', "0-1"}, {"(?i)i", "I", 1, 'f', "0-1"},
    {"(?i)\317\203", "\316\243", 2, 's', "0-2"}, {"(?i)\317\203", "\316\243", 2, 'f', "0-2"},
    {"(?i)\317\203", "\317\202", 2, 's', "0-2"}, {"(?i)\317\203", "\317\202", 2, 'f', "0-2"},
    {"(?i)\307\206", "\307\205", 2, 's', "0-2"}, {"(?i)\307\206", "\307\205", 2, 'f', "0-2"},
    {"(?i)\307\206", "\307\204", 2, 's', "0-2"}, {"(?i)\307\206", "\307\204", 2, 'f', "0-2"},
    {"(?i)\302\265", "\316\274", 2, 's', "0-2"}, {"(?i)\302\265", "\316\274", 2, 'f', "0-2"},
    {"(?i)\302\265", "\316\234", 2, 's', "0-2"}, {"(?i)\302\265", "\316\234", 2, 'f', "0-2"},
    {"(?i)\316\270", "\317\264", 2, 's', "0-2"}, {"(?i)\316\270", "\317\264", 2, 'f', "0-2"},
    {"(?i)\316\270", "\317\221", 2, 's', "0-2"}, {"(?i)\316\270", "\317\221", 2, 'f', "0-2"},
    {"(?i)[\316\261-\317\211]+", "\316\221\316\222\316\223", 6, 's', "0-6"},
    {"(?i)[\316\261-\317\211]+", "\316\221\316\222\316\223", 6, 'f', "0-6"},
    {"(?i)\\w", "\303\211", 2, 's', "0-2"}, {"(?i)\\w", "\303\211", 2, 'f', "0-2"},
    {"(?i)\360\220\220\200", "\360\220\220\250", 4, 's', "0-4"},
    {"(?i)\360\220\220\200", "\360\220\220\250", 4, 'f', "0-4"},
    {"(?i)[\\x00-\\x7f]", "\342\204\252", 3, 's', "0-3"},
    {"(?i)[\\x00-\\x7f]", "\342\204\252", 3, 'f', "0-3"}, {"(?i)[\\x00-\\x7f]", "\305\277", 2, 's', "0-2"},
    {"(?i)[\\x00-\\x7f]", "\305\277", 2, 'f', "0-2"}, {"(?i)\303\237", "\341\272\236", 3, 's', "0-3"},
    {"(?i)\303\237", "\341\272\236", 3, 'f', "0-3"},
    {"(?i)[\303\240-\303\275]+", "\303\200\303\211\303\235", 6, 's', "0-6"},
    {"(?i)[\303\240-\303\275]+", "\303\200\303\211\303\235", 6, 'f', "0-6"},
    {"(?s:.)x.", "\nxa", 3, 's', "0-3"}, {"(?s:.)x.", "\nxa", 3, 'f', "0-3"},
    {"(?s:.)x.", "\nx\n", 3, 's', "no"}, {"(?s:.)x.", "\nx\n", 3, 'f', "no"},
    {"(?im)^A$", "b\na", 3, 's', "2-3"}, {"(?im)^A$", "b\na", 3, 'f', "no"},
    {"(?is)A.B", "a\nb", 3, 's', "0-3"}, {"(?is)A.B", "a\nb", 3, 'f', "0-3"},
    {"(?i)(?s)a.", "A\n", 2, 's', "0-2"}, {"(?i)(?s)a.", "A\n", 2, 'f', "0-2"},
    {"(?:a)(?:b)", "ab", 2, 's', "0-2"}, {"(?:a)(?:b)", "ab", 2, 'f', "0-2"},
    {"(?P<x>a)(?P<y_1>b)", "ab", 2, 's', "0-2 0-1 1-2"}, {"(?P<x>a)(?P<y_1>b)", "ab", 2, 'f', "0-2 0-1 1-2"},
    {"a(?#comment)b", "ab", 2, 's', "0-2"}, {"a(?#comment)b", "ab", 2, 'f', "0-2"},
    {"()", "a", 1, 's', "0-0 0-0"}, {"()", "a", 1, 'f', "no"}, {"(?:)", "a", 1, 's', "0-0"},
    {"(?:)", "a", 1, 'f', "no"}, {"", "a", 1, 's', "0-0"}, {"", "a", 1, 'f', "no"},
    {"a||b", "b", 1, 's', "0-0"}, {"a||b", "b", 1, 'f', "0-1"}, {"(a||b)c", "c", 1, 's', "0-1 0-0"},
    {"(a||b)c", "c", 1, 'f', "0-1 0-0"}, {"(a||b)c", "bc", 2, 's', "0-2 0-1"},
    {"(a||b)c", "bc", 2, 'f', "0-2 0-1"}, {"|a", "a", 1, 's', "0-0"}, {"|a", "a", 1, 'f', "0-1"},
    {"a(?=b)", "ab", 2, 's', "0-1"}, {"a(?=b)", "ab", 2, 'f', "no"}, {"a(?=b)", "ac", 2, 's', "no"},
    {"a(?=b)", "ac", 2, 'f', "no"}, {"a(?!b)", "ab", 2, 's', "no"}, {"a(?!b)", "ab", 2, 'f', "no"},
    {"a(?!b)", "ac", 2, 's', "0-1"}, {"a(?!b)", "ac", 2, 'f', "no"}, {"a(?!b)", "a", 1, 's', "0-1"},
    {"a(?!b)", "a", 1, 'f', "0-1"}, {"\\s+(?!\\S)", "   a", 4, 's', "0-2"},
    {"\\s+(?!\\S)", "   a", 4, 'f', "no"}, {"\\s+(?!\\S)", "   ", 3, 's', "0-3"},
    {"\\s+(?!\\S)", "   ", 3, 'f', "0-3"}, {"\\s+(?!\\S)", "a  b", 4, 's', "1-2"},
    {"\\s+(?!\\S)", "a  b", 4, 'f', "no"}, {"a(?=b|$)", "a", 1, 's', "0-1"}, {"a(?=b|$)", "a", 1, 'f', "0-1"
     ""},
    {"a(?=b|$)", "ab", 2, 's', "0-1"}, {"a(?=b|$)", "ab", 2, 'f', "no"}, {"a(?=b|$)", "ac", 2, 's', "no"},
    {"a(?=b|$)", "ac", 2, 'f', "no"}, {"(?=.*b).*c", "abc", 3, 's', "0-3"},
    {"(?=.*b).*c", "abc", 3, 'f', "0-3"}, {"(?=.*b).*c", "ac", 2, 's', "no"},
    {"(?=.*b).*c", "ac", 2, 'f', "no"}, {"(?!.*b).*", "abc", 3, 's', "2-3"},
    {"(?!.*b).*", "abc", 3, 'f', "no"}, {"(?!.*b).*", "ac", 2, 's', "0-2"},
    {"(?!.*b).*", "ac", 2, 'f', "0-2"}, {"(?=(?=a).b)..", "ab", 2, 's', "0-2"},
    {"(?=(?=a).b)..", "ab", 2, 'f', "0-2"}, {"(?=(?=a).b)..", "ac", 2, 's', "no"},
    {"(?=(?=a).b)..", "ac", 2, 'f', "no"}, {"(?:(?!ab).)*", "xxabx", 5, 's', "0-2"},
    {"(?:(?!ab).)*", "xxabx", 5, 'f', "no"}, {"(?<=a)b", "ab", 2, 's', "1-2"},
    {"(?<=a)b", "ab", 2, 'f', "no"}, {"(?<=a)b", "cb", 2, 's', "no"}, {"(?<=a)b", "cb", 2, 'f', "no"},
    {"(?<=a)b", "b", 1, 's', "no"}, {"(?<=a)b", "b", 1, 'f', "no"}, {"(?<!a)b", "ab", 2, 's', "no"},
    {"(?<!a)b", "ab", 2, 'f', "no"}, {"(?<!a)b", "cb", 2, 's', "1-2"}, {"(?<!a)b", "cb", 2, 'f', "no"},
    {"(?<!a)b", "b", 1, 's', "0-1"}, {"(?<!a)b", "b", 1, 'f', "0-1"}, {"(?<=ab)c", "abc", 3, 's', "2-3"},
    {"(?<=ab)c", "abc", 3, 'f', "no"}, {"(?<=ab)c", "bc", 2, 's', "no"}, {"(?<=ab)c", "bc", 2, 'f', "no"},
    {"(?<!ab)c", "abc", 3, 's', "no"}, {"(?<!ab)c", "abc", 3, 'f', "no"}, {"(?<!ab)c", "xbc", 3, 's', "2-3"},
    {"(?<!ab)c", "xbc", 3, 'f', "no"}, {"(?<!ab)c", "c", 1, 's', "0-1"}, {"(?<!ab)c", "c", 1, 'f', "0-1"},
    {"(?<=a.)c", "abc", 3, 's', "2-3"}, {"(?<=a.)c", "abc", 3, 'f', "no"}, {"(?<=a.)c", "a\nc", 3, 's', "no"
     ""},
    {"(?<=a.)c", "a\nc", 3, 'f', "no"}, {"(?<=\\bab)c", "abc", 3, 's', "2-3"},
    {"(?<=\\bab)c", "abc", 3, 'f', "no"}, {"(?<=\\bab)c", "xabc", 4, 's', "no"},
    {"(?<=\\bab)c", "xabc", 4, 'f', "no"}, {"(?<=a{3})b", "aaab", 4, 's', "3-4"},
    {"(?<=a{3})b", "aaab", 4, 'f', "no"}, {"(?<=a{3})b", "aab", 3, 's', "no"},
    {"(?<=a{3})b", "aab", 3, 'f', "no"}, {"(?<=(?:ab|cd))e", "abe", 3, 's', "2-3"},
    {"(?<=(?:ab|cd))e", "abe", 3, 'f', "no"}, {"(?<=(?:ab|cd))e", "cde", 3, 's', "2-3"},
    {"(?<=(?:ab|cd))e", "cde", 3, 'f', "no"}, {"(?<=(?:ab|cd))e", "xxe", 3, 's', "no"},
    {"(?<=(?:ab|cd))e", "xxe", 3, 'f', "no"}, {"(?<=\303\251)x", "\303\251x", 3, 's', "2-3"},
    {"(?<=\303\251)x", "\303\251x", 3, 'f', "no"}, {"(?<=\303\251)x", "ex", 2, 's', "no"},
    {"(?<=\303\251)x", "ex", 2, 'f', "no"}, {"(?<!.)a", "a", 1, 's', "0-1"}, {"(?<!.)a", "a", 1, 'f', "0-1"},
    {"(?<!.)a", "ba", 2, 's', "no"}, {"(?<!.)a", "ba", 2, 'f', "no"}, {"(?<=^)a", "a", 1, 's', "0-1"},
    {"(?<=^)a", "a", 1, 'f', "0-1"}, {"(?<=^)a", "ba", 2, 's', "no"}, {"(?<=^)a", "ba", 2, 'f', "no"},
    {"(?=a*b)a*", "aab", 3, 's', "0-2"}, {"(?=a*b)a*", "aab", 3, 'f', "no"},
    {"(?=a*b)a*", "aac", 3, 's', "no"}, {"(?=a*b)a*", "aac", 3, 'f', "no"},
    {"(?!a{2})a", "aa", 2, 's', "1-2"}, {"(?!a{2})a", "aa", 2, 'f', "no"}, {"(?!a{2})a", "ba", 2, 's', "1-2"
     ""},
    {"(?!a{2})a", "ba", 2, 'f', "no"}, {"(?<=a(?=b))b", "ab", 2, 's', "1-2"},
    {"(?<=a(?=b))b", "ab", 2, 'f', "no"}, {"(?=x(?<=ax))x", "ax", 2, 's', "1-2"},
    {"(?=x(?<=ax))x", "ax", 2, 'f', "no"}, {"(?=x(?<=ax))x", "bx", 2, 's', "no"},
    {"(?=x(?<=ax))x", "bx", 2, 'f', "no"}, {"a*+a", "aaa", 3, 's', "no"}, {"a*+a", "aaa", 3, 'f', "no"},
    {"a*+b", "aab", 3, 's', "0-3"}, {"a*+b", "aab", 3, 'f', "0-3"}, {"a++b", "aab", 3, 's', "0-3"},
    {"a++b", "aab", 3, 'f', "0-3"}, {"a?+a", "a", 1, 's', "no"}, {"a?+a", "a", 1, 'f', "no"},
    {"a?+a", "aa", 2, 's', "0-2"}, {"a?+a", "aa", 2, 'f', "0-2"}, {"[ab]*+b", "abab", 4, 's', "no"},
    {"[ab]*+b", "abab", 4, 'f', "no"}, {"[ab]{1,2}+b", "abb", 3, 's', "0-3"},
    {"[ab]{1,2}+b", "abb", 3, 'f', "0-3"}, {"[ab]{1,2}+b", "ab", 2, 's', "no"},
    {"[ab]{1,2}+b", "ab", 2, 'f', "no"}, {"[ab]{1,2}+b", "aab", 3, 's', "0-3"},
    {"[ab]{1,2}+b", "aab", 3, 'f', "0-3"}, {"a{2}+b", "aab", 3, 's', "0-3"}, {"a{2}+b", "aab", 3, 'f', "0-3"
     ""},
    {"\\d++(?!\\.)", "12.", 3, 's', "no"}, {"\\d++(?!\\.)", "12.", 3, 'f', "no"},
    {"\\d++(?!\\.)", "12", 2, 's', "0-2"}, {"\\d++(?!\\.)", "12", 2, 'f', "0-2"},
    {"x*+", "xx", 2, 's', "0-2"}, {"x*+", "xx", 2, 'f', "0-2"}, {"x*+", "", 0, 's', "0-0"},
    {"x*+", "", 0, 'f', "0-0"}, {"(a)|b", "b", 1, 's', "0-1 -"}, {"(a)|b", "b", 1, 'f', "0-1 -"},
    {"(a)?b", "b", 1, 's', "0-1 -"}, {"(a)?b", "b", 1, 'f', "0-1 -"}, {"(a)?b", "ab", 2, 's', "0-2 0-1"},
    {"(a)?b", "ab", 2, 'f', "0-2 0-1"}, {"((a)b?)*", "aab", 3, 's', "0-3 1-3 1-2"},
    {"((a)b?)*", "aab", 3, 'f', "0-3 1-3 1-2"}, {"(a)|(b)|(c)", "c", 1, 's', "0-1 - - 0-1"},
    {"(a)|(b)|(c)", "c", 1, 'f', "0-1 - - 0-1"}, {"(?:(a)|(b)|(c))+", "abc", 3, 's', "0-3 0-1 1-2 2-3"},
    {"(?:(a)|(b)|(c))+", "abc", 3, 'f', "0-3 0-1 1-2 2-3"},
    {"(?:(a)|(b)|(c))+", "cba", 3, 's', "0-3 2-3 1-2 0-1"},
    {"(?:(a)|(b)|(c))+", "cba", 3, 'f', "0-3 2-3 1-2 0-1"}, {"(a(b)?)+", "aba", 3, 's', "0-3 2-3 1-2"},
    {"(a(b)?)+", "aba", 3, 'f', "0-3 2-3 1-2"},
    {"(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)", "abcdefghijkl", 12, 's', "0-11 0-1 1-2 2-3 3-4 4-5 5-6 6-7 7-8 8-"
     "9 9-10 10-11"},
    {"(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)", "abcdefghijkl", 12, 'f', "no"},
    {"(\\w+)\\s(\\w+)", "hello world", 11, 's', "0-11 0-5 6-11"},
    {"(\\w+)\\s(\\w+)", "hello world", 11, 'f', "0-11 0-5 6-11"}, {"(a+|b+)*?c", "aabbc", 5, 's', "0-5 2-4"},
    {"(a+|b+)*?c", "aabbc", 5, 'f', "0-5 2-4"}, {"(?:a|b)?\?b", "ab", 2, 's', "0-2"},
    {"(?:a|b)?\?b", "ab", 2, 'f', "0-2"}, {"[+-]?\\d+(?:\\.\\d+)?", "x-12.50 3", 9, 's', "1-7"},
    {"[+-]?\\d+(?:\\.\\d+)?", "x-12.50 3", 9, 'f', "no"}, {"\\((.*?)\\)", "(a) (b)", 7, 's', "0-3 1-2"},
    {"\\((.*?)\\)", "(a) (b)", 7, 'f', "0-7 1-6"}, {"^\\s*(.*?)\\s*$", "  a b  ", 7, 's', "0-7 2-5"},
    {"^\\s*(.*?)\\s*$", "  a b  ", 7, 'f', "0-7 2-5"}, {"(\\d+)-(\\d+)", "10-20", 5, 's', "0-5 0-2 3-5"},
    {"(\\d+)-(\\d+)", "10-20", 5, 'f', "0-5 0-2 3-5"}, {"#+ ?(\\S+)", "## x", 4, 's', "0-4 3-4"},
    {"#+ ?(\\S+)", "## x", 4, 'f', "0-4 3-4"}, {"a*", "baac", 4, 'a', "0-0; 1-3; 3-3; 4-4"},
    {"a|b*", "abxb", 4, 'a', "0-1; 1-2; 2-2; 3-4; 4-4"}, {"", "ab", 2, 'a', "0-0; 1-1; 2-2"},
    {"\\b", "ab cd", 5, 'a', "0-0; 2-2; 3-3; 5-5"}, {"(?m)^", "a\nb\n", 4, 'a', "0-0; 2-2; 4-4"},
    {"$", "a\n", 2, 'a', "1-1; 2-2"}, {"x*", "axb", 3, 'a', "0-0; 1-2; 2-2; 3-3"},
    {"(a)|(b)", "abc", 3, 'a', "0-1 0-1 -; 1-2 - 1-2"}, {"a*?", "aa", 2, 'a', "0-0; 0-1; 1-1; 1-2; 2-2"},
    {"\\d|", "1a2", 3, 'a', "0-1; 1-1; 2-3; 3-3"}, {"(?=a)", "aba", 3, 'a', "0-0; 2-2"},
    {"\303\251*", "\303\251a\303\251", 5, 'a', "0-2; 2-2; 3-5; 5-5"},
    {"(?:|a)+", "aab", 3, 'a', "0-0; 0-1; 1-1; 1-2; 2-2; 3-3"}, {"[^a-z]+", "ab1!c2", 6, 'a', "2-4; 5-6"},
};

static void spans(peft__string *out, const size_t *groups, int slots) {
    for (int k = 0; k < slots; k += 2) {
        if (k) peft__string_puts(out, " ");
        if (groups[k] == SIZE_MAX) peft__string_puts(out, "-");
        else peft__string_format(out, "%zu-%zu", groups[k], groups[k + 1]);
    }
}

// The answer of this library in the notation of the table.
static void answer(const peft__regex *re, const char *text, size_t n, char mode, peft__string *out) {
    size_t groups[64], at = 0;
    int how = mode == 'm' ? PEFT__REGEX_MATCH : mode == 'f' ? PEFT__REGEX_FULLMATCH : PEFT__REGEX_SEARCH,
        more = 0;
    out->size = 0;
    peft__string_puts(out, "");
    check(re->slots <= 64 && !peft__regex_begin(&scratch, re, text, n), "begin", text);
    bool any = false;
    while (peft__regex_match(&scratch, at, how | more, groups)) {
        if (any) peft__string_puts(out, "; ");
        any = true;
        spans(out, groups, re->slots);
        if (mode != 'a') return;
        at = groups[1];
        more = groups[0] == groups[1] ? PEFT__REGEX_NOT_EMPTY : 0;
    }
    if (!any && mode != 'a') peft__string_puts(out, "no");
}

static void test_cases(void) {
    peft__string got;
    peft__string_init(&got, ctx);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        peft__regex *re;
        if (peft__regex_compile(ctx, cases[i].pattern, strlen(cases[i].pattern), 0, &re)) {
            check(false, cases[i].pattern, cases[i].text);
            continue;
        }
        answer(re, cases[i].text, cases[i].n, cases[i].mode, &got);
        bool same = strcmp(got.data, cases[i].answer) == 0;
        check(same, cases[i].pattern, cases[i].text);
        if (!same) printf("    %s instead of %s\n", got.data, cases[i].answer);
        peft__regex_free(re);
    }
    peft__string_free(&got);
}

// What Python refuses is a fault of the pattern; what cannot be linear is refused by name. Each with its
// position.
static void test_errors(void) {
    static const struct {
        const char *pattern, *says;
        peft_status status;
    } wrong[] = {
        {"a**", "a repeat of a repeat at position 2", PEFT_ERROR_FORMAT},
        {"*a", "nothing to repeat at position 0", PEFT_ERROR_FORMAT},
        {"{2}", "nothing to repeat at position 0", PEFT_ERROR_FORMAT},
        {"\303\251|*", "nothing to repeat at position 2", PEFT_ERROR_FORMAT},
        {"^*", "nothing to repeat at position 1", PEFT_ERROR_FORMAT},
        {"b(a", "a parenthesis that is not closed at position 1", PEFT_ERROR_FORMAT},
        {"a)", "a ) without its ( at position 1", PEFT_ERROR_FORMAT},
        {"a[b", "a class without its ] at position 1", PEFT_ERROR_FORMAT},
        {"[]", "a class without its ] at position 0", PEFT_ERROR_FORMAT},
        {"[b-a]", "a bad range of characters at position 1", PEFT_ERROR_FORMAT},
        {"[\\d-z]", "a bad range of characters at position 1", PEFT_ERROR_FORMAT},
        {"a{3,2}", "a least count above the greatest at position 1", PEFT_ERROR_FORMAT},
        {"ab\\", "a backslash at the end at position 2", PEFT_ERROR_FORMAT},
        {"\\q", "a bad escape at position 0", PEFT_ERROR_FORMAT},
        {"\\x1", "a bad escape at position 0", PEFT_ERROR_FORMAT},
        {"\\p{L}", "a bad escape at position 0", PEFT_ERROR_FORMAT},
        {"(?P<1", "a bad name of a group at position 0", PEFT_ERROR_FORMAT},
        {"(?<=a*)b", "a lookbehind whose width is not fixed at position 0", PEFT_ERROR_FORMAT},
        {"(?<=a|bc)b", "a lookbehind whose width is not fixed at position 0", PEFT_ERROR_FORMAT},
        {"a(?i)b", "flags that are not at the start at position 1", PEFT_ERROR_FORMAT},
        {"a\377", "a text that is not UTF-8 at position 1", PEFT_ERROR_FORMAT},
        {"(a)\\1", "a backreference, which takes more than linear time, at position 3",
         PEFT_ERROR_UNSUPPORTED},
        {"(?P<x>a)(?P=x)", "a backreference, which takes more than linear time, at position 8",
         PEFT_ERROR_UNSUPPORTED},
        {"(a)?(?(1)b|c)", "a conditional, which takes more than linear time, at position 4",
         PEFT_ERROR_UNSUPPORTED},
        {"(?>ab)c", "an atomic group at position 0", PEFT_ERROR_UNSUPPORTED},
        {"(?:ab)*+c", "a possessive quantifier of more than one character at position 0",
         PEFT_ERROR_UNSUPPORTED},
        {"(?x)a b", "a group or flag that is not supported at position 0", PEFT_ERROR_UNSUPPORTED},
        {"(?=(a))a", "a capturing group in a lookaround (write (?:...)) at position 3",
         PEFT_ERROR_UNSUPPORTED},
        {"a{4294967296}", "too large a count at position 1", PEFT_ERROR_UNSUPPORTED},
        {"(?:a{1000}){1000}", "too large a program at position", PEFT_ERROR_UNSUPPORTED},
        {"(?:(?:a{0,300}){0,300}){0,300}", "too large a program at position", PEFT_ERROR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        peft__regex *re;
        peft_status status = peft__regex_compile(ctx, wrong[i].pattern, strlen(wrong[i].pattern), 0, &re);
        check(status == wrong[i].status && !re && strstr(peft_error(ctx), wrong[i].says), "refused",
              wrong[i].pattern);
        peft__regex_free(re);
    }
    peft__regex *re;
    check(!peft__regex_compile(ctx, "(?=.*(a|b)).*", 13, PEFT__REGEX_NO_GROUPS, &re),
          "groups that nobody asks for", "(?=.*(a|b)).*");
    check(re && re->slots == 2, "no slots for them", "(?=.*(a|b)).*");
    peft__regex_free(re);
}

// A text of n times `unit` and then `tail`.
static char *repeated(const char *unit, size_t n, const char *tail) {
    size_t k = strlen(unit);
    char *s = (char *)malloc(n * k + strlen(tail) + 1);
    for (size_t i = 0; i < n; i++) memcpy(s + i * k, unit, k);
    strcpy(s + n * k, tail);
    return s;
}

// Patterns that make a backtracking matcher take exponential time: here the steps for a text twice as long
// are twice as many.
static void test_steps(void) {
    static const char *const hostile[][3] = {{"(a*)*b", "a", "c"},       {"(a|aa)+$", "a", "b"},
                                             {"(a|a)*b", "a", "c"},
                                             {"(.*)(.*)(.*)x", "ab", ""}, {".*(?:a?){20}a{20}b", "a", "c"},
                                                 {"(x+x+)+y", "x", "z"},
                                             {"((a*)*)*b", "a", ""},     {"(?=(?:a|aa)+$).*b", "a", "b"},
                                                 {"(?:.*,){9}P", "1,", "x"},
                                             {"(?<!a{9})(?:a|b|ab)*c", "ab", ""}};
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        peft__regex *re;
        long long steps[2] = {0, 0};
        check(!peft__regex_compile(ctx, hostile[i][0], strlen(hostile[i][0]), PEFT__REGEX_NO_GROUPS, &re),
              "compile", hostile[i][0]);
        for (int k = 0; re && k < 2; k++) {
            char *text = repeated(hostile[i][1], (size_t)2000 << k, hostile[i][2]);
            bool found = true;
            scratch.steps = 0;
            check(!peft__regex_test(&scratch, re, text, strlen(text), PEFT__REGEX_FULLMATCH, &found) &&
                  !found, "no match", hostile[i][0]);
            steps[k] = scratch.steps;
            check(steps[k] <= 3 * re->count * (long long)(strlen(text) + 1),
                  "steps at most 3 x program x text", hostile[i][0]);
            free(text);
        }
        check(steps[1] > steps[0] && steps[1] < steps[0] * 21 / 10, "twice the text, twice the steps",
              hostile[i][0]);
        peft__regex_free(re);
    }
}

// What no pattern may do: take the stack, gigabytes, or forever.
static void test_bounds(void) {
    peft__regex *re;
    bool found = false;
    char *deep = repeated("(", 50000, "");
    check(peft__regex_compile(ctx, deep, strlen(deep), 0, &re) == PEFT_ERROR_UNSUPPORTED &&
          strstr(peft_error(ctx), "nesting too deep"),
          "depth", "((((");
    free(deep);
    deep = repeated("[a", 30000, "");
    check(peft__regex_compile(ctx, deep, strlen(deep), PEFT__REGEX_ONIGURUMA, &re) &&
          strstr(peft_error(ctx), "nesting too deep"), "depth", "[a[a");
    free(deep);
    deep = repeated("*", 60000, "");
    deep[0] = 'a';
    check(peft__regex_compile(ctx, deep, strlen(deep), PEFT__REGEX_ONIGURUMA, &re) == PEFT_ERROR_UNSUPPORTED &&
          strstr(peft_error(ctx), "too large a program"), "loops of loops", "a****");
    free(deep);
    char *groups = repeated("()", 20000, "");
    check(peft__regex_compile(ctx, groups, strlen(groups), 0, &re) &&
          strstr(peft_error(ctx), "too many groups"), "groups", "()()");
    check(!peft__regex_compile(ctx, groups, strlen(groups), PEFT__REGEX_NO_GROUPS, &re), "no groups", "()()");
    peft__regex_free(re);
    free(groups);
    char *loops = repeated("(?:", 60, "a");
    char *full = repeated("", 0, "");
    free(full);
    full = (char *)malloc(strlen(loops) + 60 * 2 + 1);
    strcpy(full, loops);
    for (int i = 0; i < 60; i++) strcat(full, ")*");
    check(peft__regex_compile(ctx, full, strlen(full), 0, &re) &&
          strstr(peft_error(ctx), "too large a program"), "loops in loops", "((a*)*)*");
    free(full);
    free(loops);
    char *longer = repeated("a", 70000, "");
    check(peft__regex_compile(ctx, longer, 70000, 0, &re) && strstr(peft_error(ctx), "more than 65536 bytes"),
          "length", "aaaa");
    check(!peft__regex_compile(ctx, longer, 65536, 0, &re), "the greatest length", "aaaa");
    check(re && !peft__regex_test(&scratch, re, longer, 65536, PEFT__REGEX_FULLMATCH, &found) && found,
          "and its match", "aaaa");
    peft__regex_free(re);
    free(longer);
}

// As the `tokenizers` library reads patterns (answers of tokenizers' Split).
static void test_oniguruma(void) {
    static const struct {
        const char *pattern, *text, *pieces;
    } split[] = {
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "Hello| World|'s| | best|:| I|'|LL| pay| 12345|\342\202\254| \342\200\224| na\303\257ve| \303\234n"
          "\303\257code|\015\n\015\n | \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275| \355"
          "\225\234\352\265\255\354\226\264| \314\201|e| \307\205| \342\205\267| \302\262| \331\243\331\244"
          "|\342\200\250|x|\034|y|\302\205|z| |"},
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|\n|b|\n|ab| aab| aaab| bbb| aaac| bc|"},
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "fooBar|_|baz| 123| 0|xAfF| z|\302\240| a|"},
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "ABC|\033| STRASSE| Stra\303\237e| K| \305\277| \303\211| k| c|\n|"},
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "foo| bar|-|foo| --| foo|\n|foo| xy| y| prs| ac| ab| ad|\n|"},
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         "1234567",
         "1234567|"},
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         "abbc abc b\na",
         "abbc| abc| b|\n|a|"},
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "\342\222\266\342\223\221\342\223\217| \360\237\204\260\360\237\205\220\360\237\205\260| \342\200"
          "\215_\342\200\277|x|"},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r"
         "\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "Hello| World|'s| | best|:| I|'LL| pay| |123|45|\342\202\254| \342\200\224| na\303\257ve| \303\234"
          "n\303\257code|\015\n\015\n| | \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275| \355"
          "\225\234\352\265\255\354\226\264| \314\201|e| \307\205| |\342\205\267| |\302\262| |\331\243\331"
          "\244|\342\200\250x|\034y|\302\205z| |"},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r"
         "\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|\n|b|\n|ab| aab| aaab| bbb| aaac| bc|"},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r"
         "\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "fooBar|_baz| |123| |0|xAfF| z|\302\240| a|"},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r"
         "\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "ABC|\033| STRASSE| Stra\303\237e| K| \305\277| \303\211| k| c|\n|"},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r"
         "\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "foo| bar|-foo| --| foo|\n|foo| xy| y| prs| ac| ab| ad|\n|"},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r"
         "\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "1234567",
         "123|456|7|"},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r"
         "\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "abbc abc b\na",
         "abbc| abc| b|\n|a|"},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r"
         "\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "\342\222\266\342\223\221\342\223\217| \360\237\204\260\360\237\205\220\360\237\205\260| \342\200"
          "\215_\342\200\277|x|"},
        {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'"
         "t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}"
         "\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r"
         "\\n]+|\\s+(?!\\S)|\\s+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "Hello| World's| | best|:| I'LL| pay| |123|45|\342\202\254| \342\200\224| na\303\257ve| \303\234n"
          "\303\257code|\015\n\015\n| | \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275| \355"
          "\225\234\352\265\255\354\226\264| \314\201e| \307\205| |\342\205\267| |\302\262| |\331\243\331"
          "\244|\342\200\250x|\034y|\302\205z| |"},
        {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'"
         "t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}"
         "\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r"
         "\\n]+|\\s+(?!\\S)|\\s+",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|\n|b|\n|ab| aab| aaab| bbb| aaac| bc|"},
        {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'"
         "t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}"
         "\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r"
         "\\n]+|\\s+(?!\\S)|\\s+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "foo|Bar|_baz| |123| |0|x|Af|F| z|\302\240| a|"},
        {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'"
         "t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}"
         "\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r"
         "\\n]+|\\s+(?!\\S)|\\s+",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "ABC|\033| STRASSE| Stra\303\237e| K| \305\277| \303\211| k| c|\n|"},
        {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'"
         "t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}"
         "\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r"
         "\\n]+|\\s+(?!\\S)|\\s+",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "foo| bar|-foo| --| foo|\n|foo| xy| y| prs| ac| ab| ad|\n|"},
        {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'"
         "t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}"
         "\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r"
         "\\n]+|\\s+(?!\\S)|\\s+",
         "1234567",
         "123|456|7|"},
        {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'"
         "t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}"
         "\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r"
         "\\n]+|\\s+(?!\\S)|\\s+",
         "abbc abc b\na",
         "abbc| abc| b|\n|a|"},
        {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'"
         "t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}"
         "\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r"
         "\\n]+|\\s+(?!\\S)|\\s+",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "\342\222\266\342\223\221\342\223\217| \360\237\204\260\360\237\205\220\360\237\205\260| \342\200"
          "\215_\342\200\277|x|"},
        {"[!\\\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}"
         "]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "Hello| World|'s| | best|:| I|'LL| pay| |\342\202\254| \342\200\224| na\303\257ve| \303\234n\303"
          "\257code|\015\n\015\n| | \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275| \355\225"
          "\234\352\265\255\354\226\264| \314\201e| \307\205| | | |\342\200\250x|\034y|\302\205z| |"},
        {"[!\\\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}"
         "]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|\n|b|\n|ab| aab| aaab| bbb| aaac| bc|"},
        {"[!\\\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}"
         "]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "fooBar|_baz| | |0xAfF| z|\302\240| a|"},
        {"[!\\\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}"
         "]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "ABC| STRASSE| Stra\303\237e| K| \305\277| \303\211| k| c|\n|"},
        {"[!\\\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}"
         "]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "foo| bar|-foo| --| foo|\n|foo| xy| y| prs| ac| ab| ad|\n|"},
        {"[!\\\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}"
         "]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "abbc abc b\na",
         "abbc| abc| b|\n|a|"},
        {"[!\\\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}"
         "]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "\342\222\266\342\223\221\342\223\217| \360\237\204\260\360\237\205\220\360\237\205\260| |_\342"
          "\200\277|x|"},
        {"[\344\270\200-\351\276\245\343\201\200-\343\202\237\343\202\240-\343\203\277]+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "\344\273\212\346\227\245\343\201\257\344\275\240\345\245\275|"},
        {"[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{L"
         "m}\\p{Lo}\\p{M}&&[^\\p{Han}]]+|\\p{N}{1,3}",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "Hello| World|'s| best| pay|123|45| na\303\257ve| \303\234n\303\257code|\344\273\212\346\227\245|"
          "\343\201\257|\344\275\240\345\245\275| \355\225\234\352\265\255\354\226\264| \314\201e|\342\205"
          "\267|\302\262|\331\243\331\244|\342\200\250x|\034y|\302\205z|"},
        {"[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{L"
         "m}\\p{Lo}\\p{M}&&[^\\p{Han}]]+|\\p{N}{1,3}",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|b|ab| aab| aaab| bbb| aaac| bc|"},
        {"[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{L"
         "m}\\p{Lo}\\p{M}&&[^\\p{Han}]]+|\\p{N}{1,3}",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "foo|Bar|_baz|123|0|x|Af| z| a|"},
        {"[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{L"
         "m}\\p{Lo}\\p{M}&&[^\\p{Han}]]+|\\p{N}{1,3}",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         " Stra\303\237e| \305\277| k| c|"},
        {"[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{L"
         "m}\\p{Lo}\\p{M}&&[^\\p{Han}]]+|\\p{N}{1,3}",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "foo| bar|-foo| foo|foo| xy| y| prs| ac| ab| ad|"},
        {"[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{L"
         "m}\\p{Lo}\\p{M}&&[^\\p{Han}]]+|\\p{N}{1,3}",
         "1234567",
         "123|456|7|"},
        {"[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{L"
         "m}\\p{Lo}\\p{M}&&[^\\p{Han}]]+|\\p{N}{1,3}",
         "abbc abc b\na",
         "abbc| abc| b|a|"},
        {"[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{L"
         "m}\\p{Lo}\\p{M}&&[^\\p{Han}]]+|\\p{N}{1,3}",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "\342\200\277x|"},
        {"\\d",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "1|2|3|4|5|\331\243|\331\244|"},
        {"\\d",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "1|2|3|0|"},
        {"\\d",
         "1234567",
         "1|2|3|4|5|6|7|"},
        {"(?<=\\d)(?=(?:\\d{3})+$)|\\d+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "12345|\331\243\331\244|"},
        {"(?<=\\d)(?=(?:\\d{3})+$)|\\d+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "123|0|"},
        {"(?<=\\d)(?=(?:\\d{3})+$)|\\d+",
         "1234567",
         "1234567|"},
        {"\\w+|\\W",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "Hello| |World|'|s| | |best|:| |I|'|LL| |pay| |12345|\342\202\254| |\342\200\224| |na\303\257ve| |"
          "\303\234n\303\257code|\015|\n|\015|\n| | |\344\273\212\346\227\245\343\201\257\344\275\240\345"
          "\245\275| |\355\225\234\352\265\255\354\226\264| |\314\201e| |\307\205| |\342\205\267| |\302\262"
          "| |\331\243\331\244|\342\200\250|x|\034|y|\302\205|z| |"},
        {"\\w+|\\W",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|\n|b|\n|ab| |aab| |aaab| |bbb| |aaac| |bc|"},
        {"\\w+|\\W",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "fooBar_baz| |123| |0xAfF| |z|\302\240| |a|"},
        {"\\w+|\\W",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "ABC|\033| |STRASSE| |Stra\303\237e| |K| |\305\277| |\303\211| |k| |c|\n|"},
        {"\\w+|\\W",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "foo| |bar|-|foo| |-|-| |foo|\n|foo| |xy| |y| |prs| |ac| |ab| |ad|\n|"},
        {"\\w+|\\W",
         "1234567",
         "1234567|"},
        {"\\w+|\\W",
         "abbc abc b\na",
         "abbc| |abc| |b|\n|a|"},
        {"\\w+|\\W",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "\342\222\266\342\223\221\342\223\217| |\360\237\204\260\360\237\205\220\360\237\205\260| |\342"
          "\200\215|_\342\200\277x|"},
        {"\\s+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         " |  | | | | | | |\015\n\015\n  | | | | | | |\342\200\250|\302\205| |"},
        {"\\s+",
         "a\nb\nab aab aaab bbb aaac bc",
         "\n|\n| | | | | |"},
        {"\\s+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         " | | |\302\240 |"},
        {"\\s+",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         " | | | | | | |\n|"},
        {"\\s+",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         " | | |\n| | | | | | |\n|"},
        {"\\s+",
         "abbc abc b\na",
         " | |\n|"},
        {"\\s+",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         " | |"},
        {"\\S+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "Hello|World's|best:|I'LL|pay|12345\342\202\254|\342\200\224|na\303\257ve|\303\234n\303\257code|"
          "\344\273\212\346\227\245\343\201\257\344\275\240\345\245\275|\355\225\234\352\265\255\354\226"
          "\264|\314\201e|\307\205|\342\205\267|\302\262|\331\243\331\244|x\034y|z|"},
        {"\\S+",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|b|ab|aab|aaab|bbb|aaac|bc|"},
        {"\\S+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "fooBar_baz|123|0xAfF|z|a|"},
        {"\\S+",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "ABC\033|STRASSE|Stra\303\237e|K|\305\277|\303\211|k|c|"},
        {"\\S+",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "foo|bar-foo|--|foo|foo|xy|y|prs|ac|ab|ad|"},
        {"\\S+",
         "1234567",
         "1234567|"},
        {"\\S+",
         "abbc abc b\na",
         "abbc|abc|b|a|"},
        {"\\S+",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "\342\222\266\342\223\221\342\223\217|\360\237\204\260\360\237\205\220\360\237\205\260|\342\200"
          "\215_\342\200\277x|"},
        {"^.+$",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015|\015|  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z |"},
        {"^.+$",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|b|ab aab aaab bbb aaac bc|"},
        {"^.+$",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "fooBar_baz 123 0xAfF z\302\240 a|"},
        {"^.+$",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c|"},
        {"^.+$",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "foo bar-foo -- foo|foo xy y prs ac ab ad|"},
        {"^.+$",
         "1234567",
         "1234567|"},
        {"^.+$",
         "abbc abc b\na",
         "abbc abc b|a|"},
        {"^.+$",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x|"},
        {"\\h+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "e|d|be|a|12345|a|e|c|de|e|"},
        {"\\h+",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|b|ab|aab|aaab|bbb|aaac|bc|"},
        {"\\h+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "f|Ba|ba|123|0|AfF|a|"},
        {"\\h+",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "ABC|A|E|a|e|c|"},
        {"\\h+",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "f|ba|f|f|f|ac|ab|ad|"},
        {"\\h+",
         "1234567",
         "1234567|"},
        {"\\h+",
         "abbc abc b\na",
         "abbc|abc|b|a|"},
        {"[a-z&&[^aeiou]]+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "ll|rld|s|b|st|p|y|n|v|n|c|d|x|y|z|"},
        {"[a-z&&[^aeiou]]+",
         "a\nb\nab aab aaab bbb aaac bc",
         "b|b|b|b|bbb|c|bc|"},
        {"[a-z&&[^aeiou]]+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "f|r|b|z|x|f|z|"},
        {"[a-z&&[^aeiou]]+",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "tr|k|c|"},
        {"[a-z&&[^aeiou]]+",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "f|b|r|f|f|f|xy|y|prs|c|b|d|"},
        {"[a-z&&[^aeiou]]+",
         "abbc abc b\na",
         "bbc|bc|b|"},
        {"[a-z&&[^aeiou]]+",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "x|"},
        {"[a-c[x-z]]+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "b|ay|a|c|x|y|z|"},
        {"[a-c[x-z]]+",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|b|ab|aab|aaab|bbb|aaac|bc|"},
        {"[a-c[x-z]]+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "a|baz|x|z|a|"},
        {"[a-c[x-z]]+",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "a|c|"},
        {"[a-c[x-z]]+",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "ba|xy|y|ac|ab|a|"},
        {"[a-c[x-z]]+",
         "abbc abc b\na",
         "abbc|abc|b|a|"},
        {"[a-c[x-z]]+",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "x|"},
        {"\\P{L}+|\\p{^L}",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         " |'|  |: |'| | 12345\342\202\254 \342\200\224 | |\015\n\015\n  | | \314\201| | \342\205\267 \302"
          "\262 \331\243\331\244\342\200\250|\034|\302\205| |"},
        {"\\P{L}+|\\p{^L}",
         "a\nb\nab aab aaab bbb aaac bc",
         "\n|\n| | | | | |"},
        {"\\P{L}+|\\p{^L}",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "_| 123 0| |\302\240 |"},
        {"\\P{L}+|\\p{^L}",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "\033 | | | | | | |\n|"},
        {"\\P{L}+|\\p{^L}",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         " |-| -- |\n| | | | | | |\n|"},
        {"\\P{L}+|\\p{^L}",
         "1234567",
         "1234567|"},
        {"\\P{L}+|\\p{^L}",
         "abbc abc b\na",
         " | |\n|"},
        {"\\P{L}+|\\p{^L}",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277|"},
        {"\\p{Zs}+|\\p{P}+|\\p{Sc}|\\p{Cc}",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         " |'|  |:| |'| | |\342\202\254| |\342\200\224| | |\015|\n|\015|\n|  | | | | | | |\034|\302\205| |"},
        {"\\p{Zs}+|\\p{P}+|\\p{Sc}|\\p{Cc}",
         "a\nb\nab aab aaab bbb aaac bc",
         "\n|\n| | | | | |"},
        {"\\p{Zs}+|\\p{P}+|\\p{Sc}|\\p{Cc}",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "_| | | |\302\240 |"},
        {"\\p{Zs}+|\\p{P}+|\\p{Sc}|\\p{Cc}",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "\033| | | | | | | |\n|"},
        {"\\p{Zs}+|\\p{P}+|\\p{Sc}|\\p{Cc}",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         " |-| |--| |\n| | | | | | |\n|"},
        {"\\p{Zs}+|\\p{P}+|\\p{Sc}|\\p{Cc}",
         "abbc abc b\na",
         " | |\n|"},
        {"\\p{Zs}+|\\p{P}+|\\p{Sc}|\\p{Cc}",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         " | |_\342\200\277|"},
        {"(?m:a.b)",
         "a\nb\nab aab aaab bbb aaac bc",
         "a\nb|aab|aab|"},
        {"(?m:a.b)",
         "abbc abc b\na",
         "abb|"},
        {"a{2}+|b{,2}",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "b|"},
        {"a{2}+|b{,2}",
         "a\nb\nab aab aaab bbb aaac bc",
         "b|b|aa|b|aa|b|bb|b|aa|b|"},
        {"a{2}+|b{,2}",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "b|"},
        {"a{2}+|b{,2}",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "b|b|"},
        {"a{2}+|b{,2}",
         "abbc abc b\na",
         "bb|b|b|"},
        {"\\x{41}|\\x42|\\u0043|\\e|\\z",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "B|A|"},
        {"\\x{41}|\\x42|\\u0043|\\e|\\z",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "A|B|C|\033|A|"},
        {"a*+b|a++|[ab]?+c",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "b|a|a|c|"},
        {"a*+b|a++|[ab]?+c",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|b|ab|aab|aaab|b|b|b|aaa|c|b|c|"},
        {"a*+b|a++|[ab]?+c",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "a|b|a|a|"},
        {"a*+b|a++|[ab]?+c",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "a|c|"},
        {"a*+b|a++|[ab]?+c",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "b|a|a|c|ab|a|"},
        {"a*+b|a++|[ab]?+c",
         "abbc abc b\na",
         "ab|b|c|ab|c|b|a|"},
        {"(?i)[s]|[k]| s|d-f",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "s|s|"},
        {"(?i)[s]|[k]| s|d-f",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         " S|S|S| S|K| \305\277|k|"},
        {"(?i)[s]|[k]| s|d-f",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "s|"},
        {"a\\Z|b\\z|c$",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         ""},
        {"a\\Z|b\\z|c$",
         "a\nb\nab aab aaab bbb aaac bc",
         "c|"},
        {"a\\Z|b\\z|c$",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "a|"},
        {"a\\Z|b\\z|c$",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "c|"},
        {"a\\Z|b\\z|c$",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         ""},
        {"a\\Z|b\\z|c$",
         "1234567",
         ""},
        {"a\\Z|b\\z|c$",
         "abbc abc b\na",
         "a|"},
        {"a\\Z|b\\z|c$",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         ""},
        {"ab{2}?c",
         "a\nb\nab aab aaab bbb aaac bc",
         "ac|"},
        {"ab{2}?c",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "ac|"},
        {"ab{2}?c",
         "abbc abc b\na",
         "abbc|"},
        {"(?i)[[a-f]&&[D-K]x]+|[\\p{P}[^a-m]]",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "H|e|l|l|o| |W|o|r|l|d|'|s| | |b|e|s|t|:| |I|'|L|L| |p|a|y| |1|2|3|4|5|\342\202\254| |\342\200\224"
          "| |n|a|\303\257|v|e| |\303\234|n|\303\257|c|o|d|e|\015|\n|\015|\n| | |\344\273\212|\346\227\245|"
          "\343\201\257|\344\275\240|\345\245\275| |\355\225\234|\352\265\255|\354\226\264| |\314\201|e| |"
          "\307\205| |\342\205\267| |\302\262| |\331\243|\331\244|\342\200\250|x|\034|y|\302\205|z| |"},
        {"(?i)[[a-f]&&[D-K]x]+|[\\p{P}[^a-m]]",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|\n|b|\n|a|b| |a|a|b| |a|a|a|b| |b|b|b| |a|a|a|c| |b|c|"},
        {"(?i)[[a-f]&&[D-K]x]+|[\\p{P}[^a-m]]",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "f|o|o|B|a|r|_|b|a|z| |1|2|3| |0|x|A|f|F| |z|\302\240| |a|"},
        {"(?i)[[a-f]&&[D-K]x]+|[\\p{P}[^a-m]]",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "A|B|C|\033| |S|T|R|A|S|S|E| |S|t|r|a|\303\237|e| |K| |\305\277| |\303\211| |k| |c|\n|"},
        {"(?i)[[a-f]&&[D-K]x]+|[\\p{P}[^a-m]]",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "f|o|o| |b|a|r|-|f|o|o| |-|-| |f|o|o|\n|f|o|o| |x|y| |y| |p|r|s| |a|c| |a|b| |a|d|\n|"},
        {"(?i)[[a-f]&&[D-K]x]+|[\\p{P}[^a-m]]",
         "1234567",
         "1|2|3|4|5|6|7|"},
        {"(?i)[[a-f]&&[D-K]x]+|[\\p{P}[^a-m]]",
         "abbc abc b\na",
         "a|b|b|c| |a|b|c| |b|\n|a|"},
        {"(?i)[[a-f]&&[D-K]x]+|[\\p{P}[^a-m]]",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "\342\222\266|\342\223\221|\342\223\217| |\360\237\204\260|\360\237\205\220|\360\237\205\260| |"
          "\342\200\215|_|\342\200\277|x|"},
        {"(?i)\\p{Lu}+|[\\p{Lu}x]+",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "H|ello|W|orld|s|best|I|LL|pay|na\303\257ve|\303\234|n\303\257code|e|\307\205|x|y|z|"},
        {"(?i)\\p{Lu}+|[\\p{Lu}x]+",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|b|ab|aab|aaab|bbb|aaac|bc|"},
        {"(?i)\\p{Lu}+|[\\p{Lu}x]+",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "fooBar|baz|xAfF|z|a|"},
        {"(?i)\\p{Lu}+|[\\p{Lu}x]+",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "ABC|STRASSE|S|tra\303\237e|K|\305\277|\303\211|k|c|"},
        {"(?i)\\p{Lu}+|[\\p{Lu}x]+",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "foo|bar|foo|foo|foo|xy|y|prs|ac|ab|ad|"},
        {"(?i)\\p{Lu}+|[\\p{Lu}x]+",
         "abbc abc b\na",
         "abbc|abc|b|a|"},
        {"(?i)\\p{Lu}+|[\\p{Lu}x]+",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         "x|"},
        {"a(?!b|c)|(?<!x)y|(?<=[pq]r)s",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         "a|y|a|y|"},
        {"a(?!b|c)|(?<!x)y|(?<=[pq]r)s",
         "a\nb\nab aab aaab bbb aaac bc",
         "a|a|a|a|a|a|"},
        {"a(?!b|c)|(?<!x)y|(?<=[pq]r)s",
         "fooBar_baz 123 0xAfF z\302\240 a",
         "a|a|a|"},
        {"a(?!b|c)|(?<!x)y|(?<=[pq]r)s",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         "a|"},
        {"a(?!b|c)|(?<!x)y|(?<=[pq]r)s",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "a|y|s|a|"},
        {"a(?!b|c)|(?<!x)y|(?<=[pq]r)s",
         "abbc abc b\na",
         "a|"},
        {"\\bfoo\\b|\\B-",
         "Hello World's  best: I'LL pay 12345\342\202\254 \342\200\224 na\303\257ve \303\234n\303\257code"
          "\015\n\015\n  \344\273\212\346\227\245\343\201\257\344\275\240\345\245\275 \355\225\234\352\265"
          "\255\354\226\264 \314\201e \307\205 \342\205\267 \302\262 \331\243\331\244\342\200\250x\034y\302"
          "\205z ",
         ""},
        {"\\bfoo\\b|\\B-",
         "a\nb\nab aab aaab bbb aaac bc",
         ""},
        {"\\bfoo\\b|\\B-",
         "fooBar_baz 123 0xAfF z\302\240 a",
         ""},
        {"\\bfoo\\b|\\B-",
         "ABC\033 STRASSE Stra\303\237e K \305\277 \303\211 k c\n",
         ""},
        {"\\bfoo\\b|\\B-",
         "foo bar-foo -- foo\nfoo xy y prs ac ab ad\n",
         "foo|foo|-|-|foo|foo|"},
        {"\\bfoo\\b|\\B-",
         "1234567",
         ""},
        {"\\bfoo\\b|\\B-",
         "abbc abc b\na",
         ""},
        {"\\bfoo\\b|\\B-",
         "\342\222\266\342\223\221\342\223\217 \360\237\204\260\360\237\205\220\360\237\205\260 \342\200"
          "\215_\342\200\277x",
         ""},
    };
    for (size_t i = 0; i < sizeof(split) / sizeof(split[0]); i++) {
        peft__regex *re;
        size_t g[64], at = 0, n = strlen(split[i].text);
        char got[1024] = "";
        if (peft__regex_compile(ctx, split[i].pattern, strlen(split[i].pattern),
                                PEFT__REGEX_ONIGURUMA | PEFT__REGEX_NO_GROUPS, &re) ||
            peft__regex_begin(&scratch, re, split[i].text, n)) {
            check(false, split[i].pattern, split[i].text);
            continue;
        }
        while (peft__regex_match(&scratch, at, PEFT__REGEX_SEARCH, g)) {
            size_t k = strlen(got), after = g[1];
            uint32_t c;
            at = g[1];
            if (g[1] > g[0])
                peft__string_into(got + k, sizeof(got) - k, "%.*s|", (int)(g[1] - g[0]),
                                  split[i].text + g[0]);
            else if (at == n) break;
            else peft__utf8_next(split[i].text, n, &after, &c);
            at = after;
        }
        check(strcmp(got, split[i].pieces) == 0, split[i].pattern, got);
        peft__regex_free(re);
    }
    static const char *const refused[] = {"\\p{Foo}", "[[:alpha:]]", "\\R", "(?<n>a)\\k<n>", "(?>ab)",
                                          "(?~a)", "\\K", "(?i)stra\303\237e", "(?i:ss)", "(?i)[\303\237]"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        peft__regex *re;
        check(peft__regex_compile(ctx, refused[i], strlen(refused[i]), PEFT__REGEX_ONIGURUMA, &re) != PEFT_OK,
              "refused", refused[i]);
        peft__regex_free(re);
    }
}

// Any allocation may fail.
static void test_memory(void) {
    static const char pattern[] = "(?i)(?=.*[^x\\d])(a|b*|[\\w-]{2,5})*?c";
    counter memory;
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    COUNT_IN(d, memory);
    bool done = false;
    for (long k = 2; k < 200 && !done; k++) {  // the first one is the context's
        peft_context *c = NULL;
        peft__regex *re = NULL;
        peft__regex_scratch s;
        bool found = false;
        memory = (counter){.fail_at = k};
        if (peft_context_create(&d, &c)) continue;
        peft__regex_scratch_init(&s, c);
        peft_status status = peft__regex_compile(c, pattern, strlen(pattern),
                                                 PEFT__REGEX_ONIGURUMA | PEFT__REGEX_NO_GROUPS, &re);
        if (!status) status = peft__regex_test(&s, re, "abcabc", 6, PEFT__REGEX_SEARCH, &found);
        done = status == PEFT_OK;
        check(done ? found : status == PEFT_ERROR_MEMORY, "a failing allocation", pattern);
        peft__regex_free(re);
        peft__regex_scratch_free(&s);
        check(peft_memory_in_use(c) == 0, "nothing is left", pattern);
        peft_context_destroy(c);
    }
    check(done, "in the end it works", pattern);
}

int main(void) {
    if (peft_context_create(NULL, &ctx)) return 1;
    peft__regex_scratch_init(&scratch, ctx);
    test_cases();
    test_errors();
    test_steps();
    test_bounds();
    test_oniguruma();
    test_memory();
    peft__regex_scratch_free(&scratch);
    check(peft_memory_in_use(ctx) == 0, "everything is freed", "");
    peft_context_destroy(ctx);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
