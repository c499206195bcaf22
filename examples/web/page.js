// The page: what is typed and dropped goes to the worker, what it answers is shown.
"use strict";
const $ = id => document.getElementById(id);
const worker = new Worker("worker.js");
const waiting = new Map();
let next = 1, losses = [], busy = false, hasAdapter = false;

function call(name, what = {}) {
  return new Promise((resolve, reject) => {
    waiting.set(next, { resolve, reject });
    worker.postMessage({ id: next++, call: name, ...what });
  });
}

worker.onmessage = ({ data }) => {
  if (data.progress) return progress(data.progress);
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if ("error" in data) reject(new Error(data.error));
  else resolve(data.result);
};
worker.onerror = e => say("The worker failed: " + (e.message || "its script was not loaded"), true);

function say(text, bad = false) {
  $("status").textContent = text;
  $("status").className = bad ? "bad" : "";
}

const megabytes = n => (n / 1e6).toFixed(1) + " MB";

function progress(p) {
  losses.push(p.loss);
  $("step").textContent = p.step + " of " + p.steps;
  $("loss").textContent = p.loss.toFixed(4);
  $("speed").textContent = Math.round(p.speed);
  $("memory").textContent = megabytes(p.memory);
  $("trained").textContent = p.trained.toLocaleString("en");
  draw(p.steps);
}

// The curve and, as steps are noisy, nothing else: the numbers stand above it.
function draw(steps) {
  const top = Math.max(...losses) || 1;
  const at = losses.map((v, i) => (steps > 1 ? 100 * i / (steps - 1) : 0).toFixed(2) + " " + (99 - 97 * v / top).toFixed(2));
  $("curve").querySelector("path").setAttribute("d", "M" + at.join("L"));
  $("curve").setAttribute("aria-label", "Loss over steps: " + losses[0].toFixed(2) + " at first, now " + losses[losses.length - 1].toFixed(2));
  $("top").textContent = "loss " + top.toFixed(2);
  $("last").textContent = "step " + steps;
}

// One thing at a time; what fails is said, and the page goes on.
async function work(text, what) {
  if (busy) return;
  busy = true;
  $("train").disabled = $("generate").disabled = true;
  say(text);
  try { say(await what()); } catch (e) { say(e.message, true); }
  busy = false;
  $("train").disabled = $("generate").disabled = false;
  $("stop").disabled = true;
}

const bytesOf = files => Promise.all([...files].map(async f => ({ name: f.name, bytes: new Uint8Array(await f.arrayBuffer()) })));

function loadModel(files) {
  return work("Loading the model", async () => {
    const m = await call("model", { files: files && await bytesOf(files) });
    hasAdapter = false;
    $("downloads").textContent = "";
    const name = files ? [...files].map(f => f.name).find(n => /safetensors|gguf/.test(n)) : "The model that comes with the project";
    $("model").textContent = name + ": " + m.parameters.toLocaleString("en") + " parameters, " + (m.threads > 1 ? m.threads + " threads." : "one thread.");
    $("memory").textContent = megabytes(m.memory);
    return "The model is loaded.";
  });
}

function loadAdapter(files) {
  return work("Loading the adapter", async () => {
    const n = await call("load", { files: await bytesOf(files) });
    hasAdapter = true;
    $("trained").textContent = n.toLocaleString("en");
    return "The adapter is loaded: Generate uses it.";
  });
}

const most = 32, shown = 2;

async function sample(column) {
  for (let i = 0; i < shown; i++) {
    const cells = $("samples").rows[i] && $("samples").rows[i].cells;
    if (cells) cells[column].textContent = await call("generate", { prompt: cells[0].textContent, adapted: column === 3, most });
  }
}

function train() {
  return work("Reading the examples", async () => {
    const n = await call("data", { lines: $("examples").value, prompt: $("prompt").value, completion: $("completion").value });
    if (!n) throw new Error("There are no examples.");
    $("samples").textContent = "";
    for (let i = 0; i < Math.min(n, shown); i++) {
      const e = await call("example", { i }), row = $("samples").insertRow();
      [["Prompt", e.prompt], ["Wanted", e.wanted], ["Before", ""], ["After", ""]].forEach(([name, text]) => {
        const cell = row.insertCell();
        cell.dataset.name = name;
        cell.textContent = text;
      });
    }
    if (!$("ask").value) $("ask").value = $("samples").rows[0].cells[0].textContent;
    say("Answers before training");
    await sample(2);
    losses = [];
    $("stop").disabled = false;
    say("Training on " + n + " examples");
    const all = await call("train", { method: +$("method").value, rank: +$("rank").value, batch: +$("batch").value, steps: +$("steps").value, rate: +$("rate").value });
    $("stop").disabled = true;
    hasAdapter = true;
    say("Answers after training");
    await sample(3);
    $("downloads").textContent = "";
    for (const f of await call("save")) {
      const link = document.createElement("a");
      link.className = "button";
      link.download = f.name;
      link.href = URL.createObjectURL(new Blob([f.bytes]));
      link.textContent = "Download " + f.name;
      $("downloads").append(link);
    }
    return "Done after " + all.length + " steps: loss " + all[0].toFixed(3) + " to " + all[all.length - 1].toFixed(3) + ".";
  });
}

$("train").onclick = train;
$("stop").onclick = () => { $("stop").disabled = true; call("stop"); };
$("generate").onclick = () => work("Generating", async () => {
  $("answer").textContent = await call("generate", { prompt: $("ask").value, adapted: hasAdapter, most });
  return hasAdapter ? "Answered with the adapter." : "Answered by the base model.";
});
$("method").onchange = () => { $("rank-label").textContent = $("method").value === "0" ? "Rank r" : "Virtual tokens"; };
$("model-files").onchange = e => e.target.files.length && loadModel(e.target.files);
$("adapter-files").onchange = e => e.target.files.length && loadAdapter(e.target.files);

// Dropped files: examples by their ending, an adapter by its names, else a model.
document.ondragover = e => e.preventDefault();
document.ondrop = async e => {
  const files = [...e.dataTransfer.files];
  e.preventDefault();
  if (files.length === 1 && /\.(jsonl|ndjson)$/.test(files[0].name)) $("examples").value = await files[0].text();
  else if (files.some(f => f.name === "adapter_config.json")) loadAdapter(files);
  else if (files.length) loadModel(files);
};

fetch("dialogues.jsonl").then(r => r.text()).then(t => { if (!$("examples").value) $("examples").value = t; });
loadModel();
