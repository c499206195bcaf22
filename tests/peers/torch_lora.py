# Steps of LoRA (r 8 on q and v) of FLAN-T5-small's shape, random weights, batch 4, source 256, target 64: PyTorch, transformers and peft
# beside peft.h, in turn, so that whatever slows the machine down slows all. Each way is a process of its own that waits for its turn.
#   make build/bench && python3 tests/peers/torch_lora.py [--threads 2] [--rounds 7] [--ways ours-f32,ours-bf16,f32,...]
# ours-all-bf16: the frozen weights in bf16, too. PyTorch: f32, autocast (bf16), bf16 (all weights), each eager and under torch.compile. A line each: median tokens/s (source and target
# tokens), resident memory (the highest), and the ratio to ours in f32. Dropout is 0 in all; AdamW, clipping at 1.
import argparse, json, os, resource, statistics, subprocess, sys, time

BATCH, SOURCE, TARGET = 4, 256, 64
WAYS = ["ours-f32", "ours-bf16", "ours-all-bf16"] + [w + c for w in ("f32", "autocast", "bf16") for c in ("", "-compiled")]


def torch_steps(way, threads):
    import torch, peft, transformers

    transformers.logging.set_verbosity_error()
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    config = transformers.T5Config(
        vocab_size=32128, d_model=512, d_kv=64, d_ff=1024, num_layers=8, num_decoder_layers=8, num_heads=6,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, decoder_start_token_id=0, dropout_rate=0.0)
    model = transformers.T5ForConditionalGeneration(config)
    kind = way.split("-")[0]
    if kind == "bf16":
        model = model.bfloat16()
    model = peft.get_peft_model(model, peft.LoraConfig(r=8, target_modules=["q", "v"]), autocast_adapter_dtype=kind != "bf16")
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    ids = torch.randint(3, 32000, (BATCH, SOURCE))
    labels = torch.randint(3, 32000, (BATCH, TARGET))
    mask = torch.ones_like(ids)
    run = torch.compile(model) if way.endswith("compiled") else model

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
            loss = run(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


# A turn is a line from stdin: one step, whose seconds are the answer. The end of stdin: what memory it took.
def worker(way, threads):
    step = torch_steps(way, threads)
    for _ in range(3):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        t = time.perf_counter()
        step()
        print(time.perf_counter() - t, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--ways", default=",".join(WAYS))
    p.add_argument("--worker")
    a = p.parse_args()
    if a.worker:
        return worker(a.worker, a.threads)
    ways, processes = a.ways.split(","), {}
    for way in ways:
        command = ["build/bench", "turns_bf16" if "all" in way else "turns", "--compute", way.split("-")[-1]] if way.startswith("ours-") else [sys.executable, __file__, "--worker", way]
        processes[way] = subprocess.Popen(
            command + ["--threads", str(a.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=dict(os.environ, OMP_NUM_THREADS=str(a.threads), TOKENIZERS_PARALLELISM="false"))
        if processes[way].stdout.readline().strip() != "ready":
            print(f"{way}: did not start", file=sys.stderr)
            del processes[way]
    times = {way: [] for way in processes}

    def turn(way):
        processes[way].stdin.write("\n")
        processes[way].stdin.flush()
        return float(processes[way].stdout.readline())

    for _ in range(a.rounds):
        for way in processes:
            turn(way)  # takes the caches from the one before
            times[way].append(turn(way))
            time.sleep(0.05)  # its idle threads fall asleep
    rate = {}
    for way, process in processes.items():
        process.stdin.close()
        memory = float(process.stdout.readline())
        process.wait()
        rate[way] = BATCH * (SOURCE + TARGET) / statistics.median(times[way])
        line = {"way": way, "tokens_per_second": round(rate[way]), "resident_mb": round(memory), "threads": a.threads, "rounds": a.rounds}
        if "ours-f32" in rate:
            line["of_ours_f32"] = round(rate[way] / rate["ours-f32"], 2)
        print(json.dumps(line), flush=True)


main()
