// Finds the code for a pasted error, in the browser and without a network. `window.CATALOGUE` is written at build time.
"use strict";

const RAISED = /^[ \t]*(?:[A-Za-z_]\w*\.)*([A-Z]\w*)(?:: ?(.*))?$/;
const TYPE = /(?:Error|Exception|Warning|Interrupt|Exit|Unsupported|Failed|Hit|Exceeded|Mismatch|Violation)\w*$/;
const FILE = /^[ \t]*File "([^"\n]+)", line \d+/;
const NOTICE = /^(?:Traceback \(most recent call last\)|During handling of the above|The above exception was)/;
const PREFIX = /^(?:\s*(?:\[?[\w-]*rank[ :]?\d+\]?:|\[default\d+\]:|\[\w+\|?[^\]\n]{0,40}\]:|\d+: (?=\S)|[\w.-]+-\d+: |[|+] ?-*(?= |$)|E {2,}|\d{4}-\d\d-\d\d[T ][\d:.,]+Z?))+ ?/;

/** The text without colours, progress marks and the prefixes that launchers put before each line. */
function clean(text) {
  return text
    .replace(/\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?)/g, "")
    .split(/\r\n|\r|\n/)
    .map((line) => line.replace(PREFIX, ""))
    .join("\n");
}

/** The exceptions in a text: type, message, and the file that raised. The whole text is one where none is recognised. */
function failures(text) {
  const found = [];
  let file = "", current = null;
  for (const line of text.split("\n")) {
    const match = RAISED.exec(line);
    const place = FILE.exec(line);
    if (NOTICE.test(line)) {
      current = null;
      if (line.startsWith("Traceback")) file = "";
    } else if (match && TYPE.test(match[1]) && !(current && /^\s/.test(line))) {
      current = { type: match[1], lines: [match[2] || ""], file };
      found.push(current);
    } else if (current) {
      current.lines.push(line);
    }
    if (place) file = place[1].replace(/\\/g, "/");
  }
  const all = found.slice(0, 40).map((one) => ({ type: one.type, message: one.lines.join("\n").trim().slice(0, 4000), file: one.file }));
  return all.length ? all : [{ type: "", message: text.trim().slice(0, 20000), file: "" }];
}

/** The words of a message that stay from run to run. */
function words(text) {
  return new Set(text.toLowerCase().match(/[a-z_]{3,}|torch\/[\w/]+\.py/g) || []);
}

function prepared(catalogue) {
  if (!catalogue.numbers) {
    catalogue.numbers = new Map(catalogue.words.map((word, number) => [word, number]));
    catalogue.sharing = new Map();
    catalogue.counts = catalogue.families.map((_, family) => catalogue.texts.filter((text) => text[0] === family).length);
    for (const family of catalogue.families) {
      for (const trigger of family.triggers) trigger.regex = new RegExp(trigger.pattern, trigger.flags);
      for (const file of family.raisedIn) catalogue.sharing.set(file, (catalogue.sharing.get(file) || 0) + 1);
    }
  }
  return catalogue;
}

/** How much a trigger says: 0 where it does not match, near 1 where its pattern took many of the message's letters. */
function covered(trigger, failure) {
  if (trigger.types.length && failure.type && !trigger.types.includes(failure.type)) return 0;
  if (trigger.raisedIn && !failure.file.endsWith(trigger.raisedIn)) return 0;
  const match = trigger.regex.exec(failure.message);
  if (!match) return 0;
  const typed = trigger.types.length && failure.type ? 0.05 : 0;
  if (trigger.worth) return trigger.worth > 0.1 && !typed ? 0 : trigger.worth + (trigger.raisedIn ? 0.3 : 0);
  const letters = match[0].replace(/[^A-Za-z]/g, "").slice(0, 100).length;
  return letters / (letters + 12) + typed + (trigger.raisedIn ? 0.1 : 0);
}

/** How alike the message is to each family's known ones: shared words, rare ones counting more, and a little for what the family mostly says. */
function similarities(catalogue, failure) {
  const mine = words(failure.type + " " + failure.message.slice(0, 600));
  let whole = 0;
  const known = new Set();
  for (const word of mine) {
    const number = catalogue.numbers.get(word);
    whole += number === undefined ? 1 : catalogue.weights[number];
    if (number !== undefined) known.add(number);
  }
  const best = new Float64Array(catalogue.families.length), near = new Float64Array(catalogue.families.length);
  for (const [family, numbers] of catalogue.texts) {
    let shared = 0, size = 0;
    for (const number of numbers) {
      size += catalogue.weights[number];
      if (known.has(number)) shared += catalogue.weights[number];
    }
    const alike = shared ? shared / Math.sqrt(whole * size) : 0;
    best[family] = Math.max(best[family], alike);
    if (alike > 0.8) near[family] += 1;
  }
  return best.map((alike, family) => alike + (0.1 * near[family]) / catalogue.counts[family]);
}

/** The families for a text, best first: {code, slug, title, score, because}. */
function search(catalogue, pasted, most = 5) {
  prepared(catalogue);
  const text = clean(pasted);
  if (!text.trim()) return [];
  const scores = new Map();
  failures(text).forEach((failure, order) => {
    const alike = similarities(catalogue, failure);
    catalogue.families.forEach((family, number) => {
      const trigger = Math.max(0, ...family.triggers.map((one) => covered(one, failure)));
      const file = family.raisedIn.find((one) => failure.file.endsWith(one));
      const place = trigger && file ? 0.4 / catalogue.sharing.get(file) : 0;
      const score = Math.round(1e4 * (2 * trigger + alike[number] + place - 0.1 * Math.min(order, 3))) / 1e4;
      const floor = trigger > 0.1 ? 0 : 0.3;
      if (score > floor && score > (scores.get(number)?.score ?? 0))
        scores.set(number, { score, because: trigger > 0.1 ? "message" : "words" });
    });
  });
  return [...scores]
    .sort((a, b) => b[1].score - a[1].score || a[0] - b[0])
    .slice(0, most)
    .map(([number, said]) => {
      const { code, slug, title } = catalogue.families[number];
      return { code, slug, title, ...said };
    });
}

function show(list, note, box) {
  const found = search(window.CATALOGUE, box.value);
  list.replaceChildren(
    ...found.map((one) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = `${one.code}.html`;
      link.textContent = `${one.code} ${one.slug}`;
      item.append(link, ` ${one.title}`);
      if (one.because === "words") item.append(" (by its words)");
      return item;
    }),
  );
  const asked = box.value.trim() !== "";
  note.textContent = !asked ? "" : found.length === 1 ? "1 page fits." : found.length ? `${found.length} pages fit, the best first.` : "No page fits this text.";
}

if (typeof document !== "undefined") {
  const box = document.getElementById("pasted");
  if (box) {
    const list = document.getElementById("found"), note = document.getElementById("note");
    let waiting = 0;
    box.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => show(list, note, box), 120);
    });
    box.form.addEventListener("submit", (event) => {
      event.preventDefault();
      show(list, note, box);
    });
    document.addEventListener("paste", (event) => {
      if (event.target === box) return; // the box takes it by itself
      box.value = event.clipboardData.getData("text");
      show(list, note, box);
    });
    if (box.value) show(list, note, box);
  }
}

if (typeof module !== "undefined") module.exports = { clean, failures, search, words };
