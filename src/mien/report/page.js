"use strict";
(() => {
const find = (query, within = document) => within.querySelector(query);
const all = (query, within = document) => [...within.querySelectorAll(query)];
const data = JSON.parse(find("#numbers").textContent);
const media = find("video, audio"), screen = find(".screen"), missing = find(".stage > .missing");
const from = data.start, until = data.start + data.seconds;

// -- a file that is not there ---------------------------------------------------------------------

function lost() {
  let name = media.getAttribute("src").slice(2);
  try { name = decodeURIComponent(name); } catch { /* a name in no alphabet we know */ }
  screen.hidden = true;
  missing.hidden = false;
  missing.textContent = `${name} cannot be played: is it there, and a kind that this browser plays?`;
  play.hidden = true;
}
const play = find('[data-do="play"]') || document.createElement("i");
if (media) {
  media.addEventListener("error", lost);
  if (media.error) lost();
}
if (!data.tracks.length || !data.tasks.length) return;

// -- numbers --------------------------------------------------------------------------------------

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const code = Object.fromEntries([...LETTERS].map((letter, i) => [letter, i]));
function values(text, ranges) {
  const found = new Float64Array(text.length / 2);
  for (let i = 0; i < found.length; i++) {
    const [low, high] = ranges[i % ranges.length];
    const v = code[text[2 * i]] * 64 + code[text[2 * i + 1]];
    found[i] = v > 4094 ? NaN : low + (v / 4094) * (high - low);
  }
  return found;
}
const UNIT = [[0, 1]];
const tracks = data.tracks.map((packed) => {
  const start = [], end = [];
  let at = 0;
  for (const length of packed.steps) {
    if (length >= 0) { start.push(from + at / 1000); end.push(from + (at + length) / 1000); }
    at += Math.abs(length);
  }
  return {
    ...packed, start, end,
    scores: packed.scores.map((text, i) => values(text, data.tasks[i].ranges)),
    unsure: packed.unsure.map((text) => values(text, UNIT)),
    present: Object.entries(packed.present).map(([name, text]) => [name, values(text, UNIT)]),
    box: values(packed.box, UNIT),
    sure: packed.voice_score ? values(packed.voice_score, UNIT) : [],
  };
});
function step(track, time) {  // the step that holds this time, or -1
  let low = 0, high = track.start.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (track.start[middle] <= time) low = middle; else high = middle - 1;
  }
  const held = track.start[low] <= time && (time < track.end[low] || time === until);
  return held ? low : -1;
}
function score(track, task, at, label) {
  return track.scores[task][at * data.tasks[task].labels.length + label];
}
function best(track, task, at) {
  let found = -1, most = -Infinity;
  data.tasks[task].labels.forEach((_, label) => {
    const value = score(track, task, at, label);
    if (value > most) { most = value; found = label; }
  });
  return found;
}

// -- words ----------------------------------------------------------------------------------------

function clock(seconds, tenths) {
  let parts = Math.round(Math.abs(seconds) * 10);
  const sign = seconds < -0.05 ? "-" : "", two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(parts / 600), rest = parts % 600;
  const text = two(Math.floor(rest / 10)) + (tenths ? "." + (rest % 10) : "");
  if (minutes < 60) return `${sign}${minutes}:${text}`;
  return `${sign}${Math.floor(minutes / 60)}:${two(minutes % 60)}:${text}`;
}
function span(track, at) {
  const [before, after] = track.windows ? track.windows[at] : [0, 0];
  const start = track.start[at] + before / 1000, end = track.end[at] + after / 1000;
  return `${clock(start, end - start < 20)}–${clock(end, end - start < 20)}`;
}
const number = (value, sign) =>
  Number.isFinite(value) ? (sign && value > 0 ? "+" : "") + value.toFixed(2) : "–";
const nothing = { face: "no face", voice: "no voice", clip: "nothing" };
function answer(track, at) {
  return data.tasks.map((task, i) => {
    if (task.kind === "best") {
      const label = best(track, i, at);
      return label < 0 ? "" : `${task.labels[label]} ${number(score(track, i, at, label))}`;
    }
    if (task.kind === "many_of_n") {
      return task.labels.filter((_, l) => score(track, i, at, l) >= task.least).join(" ");
    }
    return task.labels.map((name, l) => `${name} ${number(score(track, i, at, l), true)}`).join(" ");
  }).filter(Boolean).join(" · ");
}
function there(track, at) {
  const words = track.present.map(([name, share]) =>
    share[at] >= 0.995 ? `with ${name}` : share[at] > 0.005
      ? `${name} in ${Math.round(100 * share[at])} %` : `without ${name}`);
  if (track.voice && track.reasons[track.voice[at]]) {
    const sure = Number.isFinite(track.sure[at]) ? ` (${number(track.sure[at])})` : "";
    words.push(`voice taken for this person's: ${track.reasons[track.voice[at]]}${sure}`);
  }
  if (track.why && track.told[track.why[at]]) words.push(track.told[track.why[at]]);
  return words.join(" · ");
}

// -- what is shown --------------------------------------------------------------------------------

const root = document.documentElement, scroll = find(".scroll"), head = find(".head");
const panel = find(".panel"), now = find(".now"), plots = all(".plot");
const bars = all(".panel .bars").map((list) => all("li", list));
const doubts = all(".panel h3 small");
let time = from, lane = 0, hover = null, zoom = 1;

function fill(track, at) {
  const where = at < 0 ? `${clock(time, true)} · ${nothing[track.kind]}` : span(track, at);
  find("h2", panel).textContent = `${track.name} · ${where}`;
  find(".there", panel).textContent = at < 0 ? "" : there(track, at);
  data.tasks.forEach((task, i) => {
    const sure = at < 0 ? NaN : track.unsure[i][at], top = at < 0 ? -1 : best(track, i, at);
    doubts[i].textContent = Number.isFinite(sure) ? `uncertainty ${number(sure)}` : "";
    bars[i].forEach((row, label) => {
      const value = at < 0 ? NaN : score(track, i, at, label);
      const [low, high] = task.ranges[label], share = (v) => (100 * (v - low)) / (high - low);
      const zero = Math.min(Math.max(share(0), 0), 100), to = share(value);
      const bar = find(".bar i", row);
      bar.style.left = `${Math.min(zero, to) || 0}%`;
      bar.style.width = `${Math.abs(to - zero) || 0}%`;
      find("output", row).textContent = number(value, task.kind === "regression");
      row.classList.toggle("top", task.kind === "best" ? label === top :
        task.kind === "many_of_n" && value >= task.least);
    });
  });
}
const place = (seconds) => `${(100 * (seconds - from)) / data.seconds}%`;
let filled = "";
function show() {
  const seen = hover || { lane, at: step(tracks[lane], time) };
  const track = tracks[seen.lane], key = `${seen.lane} ${seen.at} ${seen.at < 0 ? time : ""}`;
  head.style.left = place(time);
  boxes();
  if (key === filled) return;
  filled = key;
  fill(track, seen.at);
  plots.forEach((plot, i) => {
    const here = find(".here", plot);
    here.hidden = i !== seen.lane || seen.at < 0;
    if (here.hidden) return;
    here.style.left = place(track.start[seen.at]);
    here.style.width = `${(100 * (track.end[seen.at] - track.start[seen.at])) / data.seconds}%`;
  });
  const at = step(tracks[lane], time);
  const said = at < 0 ? `${clock(time, true)}: ${nothing[tracks[lane].kind]}`
    : `${span(tracks[lane], at)}: ${answer(tracks[lane], at)}`;
  const sure = at < 0 ? "" : tracks[lane].unsure.map((text) => text[at])
    .filter(Number.isFinite).map((value) => `, uncertainty ${number(value)}`).join("");
  plots[lane].setAttribute("aria-valuenow", time.toFixed(2));
  plots[lane].setAttribute("aria-valuetext", said + sure);
  find("p", now).textContent = `${tracks[lane].name} · ${said}`;
}

// -- faces over the picture -----------------------------------------------------------------------

const template = find(".box"), frames = [];
if (template) {
  tracks.forEach((track, i) => {
    frames[i] = track.box.length && screen.appendChild(template.cloneNode(true));
  });
}
function boxes() {
  if (!media || !media.videoWidth) return;
  const scale = Math.min(media.clientWidth / media.videoWidth, media.clientHeight / media.videoHeight);
  const wide = media.videoWidth * scale, high = media.videoHeight * scale;
  frames.forEach((frame, i) => {
    if (!frame) return;
    const track = tracks[i], at = step(track, time);
    frame.hidden = at < 0 || !Number.isFinite(track.box[4 * at]);
    if (frame.hidden) return;
    // A box belongs to the middle of its window: between two of them it moves straight.
    const middle = (k) => (track.start[k] + track.end[k]) / 2;
    const next = time < middle(at) ? at - 1 : at + 1;
    const near = track.end[Math.min(at, next)] === track.start[Math.max(at, next)];
    const share = near ? (time - middle(at)) / (middle(next) - middle(at)) : 0;
    const side = (k) => {
      const here = track.box[4 * at + k], other = near ? track.box[4 * next + k] : NaN;
      return Number.isFinite(other) ? here + share * (other - here) : here;
    };
    frame.style.left = `${media.offsetLeft + (media.clientWidth - wide) / 2 + side(0) * wide}px`;
    frame.style.top = `${media.offsetTop + (media.clientHeight - high) / 2 + side(1) * high}px`;
    frame.style.width = `${side(2) * wide}px`;
    frame.style.height = `${side(3) * high}px`;
    frame.classList.toggle("low", side(1) * high < 26);
    const task = data.tasks.findIndex((one) => one.kind === "best");
    const label = task < 0 ? -1 : best(track, task, at);
    find("span", frame).textContent = track.name + (label < 0 ? "" : `: ${data.tasks[task].labels[label]}`);
  });
}

// -- moving ---------------------------------------------------------------------------------------

function follow() {  // keep the line in sight
  const row = find(".chart"), names = find(".name").offsetWidth;
  const x = ((time - from) / data.seconds) * row.clientWidth, room = scroll.clientWidth - names;
  if (x < scroll.scrollLeft || x > scroll.scrollLeft + room) scroll.scrollLeft = x - room / 4;
}
function seek(to, silently) {
  if (!Number.isFinite(to)) return;
  time = Math.min(Math.max(to, from), until);
  hover = null;
  if (media && !silently && media.readyState) media.currentTime = time;
  follow();
  show();
}
function neighbour(forth) {
  const track = tracks[lane], starts = track.start;
  if (forth) return starts.find((start) => start > time + 0.001) ?? time;
  const at = step(track, time);
  return [...starts].reverse().find((start, i) =>
    start < time - 0.001 && (at < 0 || starts.length - 1 - i < at)) ?? starts[0] ?? time;
}
function select(other, focus) {
  lane = Math.min(Math.max(other, 0), tracks.length - 1);
  if (focus) plots[lane].focus();
}
function toggle() {
  if (!media || screen.hidden) return;
  if (media.paused) media.play().catch(() => {}); else media.pause();
}
function magnify(factor) {
  const shortest = Math.min(...tracks.map((t) => t.start.length ? t.end[0] - t.start[0] : Infinity));
  const most = Math.max(8, Math.min(64, (30 * data.seconds) / shortest / scroll.clientWidth));
  zoom = factor ? Math.min(Math.max(zoom * factor, 1), 2 ** Math.ceil(Math.log2(most))) : 1;
  root.style.setProperty("--zoom", zoom);
  write();
  const row = find(".chart"), names = find(".name").offsetWidth;
  scroll.scrollLeft = ((time - from) / data.seconds) * row.clientWidth
    - (scroll.clientWidth - names) / 2;
}
let running = 0;
function run() {
  cancelAnimationFrame(running);
  if (media.paused) return;
  time = Math.min(Math.max(media.currentTime, from), until);
  follow();
  show();
  running = requestAnimationFrame(run);
}

// -- texts that fit -------------------------------------------------------------------------------

const EVERY = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
function text(words, start, end, look) {
  const space = find(".chart").namespaceURI;
  const box = document.createElementNS(space, "svg"), inner = document.createElementNS(space, "text");
  box.setAttribute("class", look);
  box.setAttribute("x", place(start));
  box.setAttribute("width", `${(100 * (end - start)) / data.seconds}%`);
  inner.setAttribute("x", 1);
  inner.setAttribute("y", 12);
  inner.textContent = words;
  box.append(inner);
  return box;
}
function stretches(track, task) {  // steps that follow on each other with one label, and gaps
  const found = [];
  let at = from;
  const add = (start, end, words, look) => {
    const last = found[found.length - 1];
    if (last && last.words === words && last.end === start) last.end = end;
    else if (end > start) found.push({ start, end, words, look });
  };
  track.start.forEach((start, i) => {
    if (start > at) add(at, start, nothing[track.kind], "gap");
    const label = best(track, task, i);
    add(start, track.end[i], label < 0 ? "" : data.tasks[task].labels[label], "label");
    at = track.end[i];
  });
  if (at < until) add(at, until, nothing[track.kind], "gap");
  return found;
}
function write() {
  const width = find(".chart").clientWidth, second = width / data.seconds;
  const ranked = data.tasks.flatMap((task, i) => task.kind === "best" ? [i] : []);
  plots.forEach((plot, i) => all(".labels", plot).forEach((group, band) => {
    const fitting = stretches(tracks[i], ranked[band])
      .filter((one) => (one.end - one.start) * second > one.words.length * 6.8 + 4);
    group.replaceChildren(...fitting.map((one) => text(one.words, one.start, one.end, one.look)));
  }));
  const every = EVERY.find((seconds) => seconds * second >= 72) || data.seconds;
  all(".axis .chart").forEach((chart) => {
    const ticks = [];
    for (let t = Math.ceil(from / every) * every; t <= until; t += every) {
      const tick = text(clock(t), t, t, "tick");
      const line = document.createElementNS(chart.namespaceURI, "path");
      line.setAttribute("d", "M0 15v5");
      tick.setAttribute("overflow", "visible");
      tick.append(line);
      if ((until - t) * second < 40) tick.firstChild.setAttribute("text-anchor", "end");
      ticks.push(tick);
    }
    chart.replaceChildren(...ticks);
  });
}

// -- hands ----------------------------------------------------------------------------------------

function pointed(plot, event) {
  const chart = find(".chart", plot).getBoundingClientRect();
  const share = (event.clientX - chart.left) / chart.width;
  return share < 0 ? null : from + Math.min(share, 0.9999) * data.seconds;
}
plots.forEach((plot, i) => {
  const label = plot.getAttribute("aria-label");
  for (const [name, value] of Object.entries({
    role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": from, "aria-valuemax": until,
    "aria-valuenow": from, "aria-valuetext": clock(from, true),
  })) plot.setAttribute(name, value);
  plot.addEventListener("click", (event) => {
    const to = pointed(plot, event);
    if (to === null) return;
    select(i);
    seek(to);
  });
  plot.addEventListener("focus", () => { select(i); hover = null; show(); });
  plot.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse") return;
    const to = pointed(plot, event), at = to === null ? -1 : step(tracks[i], to);
    hover = at < 0 ? null : { lane: i, at };
    show();
  });
  plot.addEventListener("pointerleave", () => { hover = null; show(); });
});
document.addEventListener("click", (event) => {
  const goal = event.target.closest('a[href^="#t="], [data-t]');
  if (!goal) return;
  event.preventDefault();
  const owner = goal.closest(".lane, article");
  select([...owner.parentNode.children].filter((e) => e.matches(".lane, article")).indexOf(owner));
  seek(parseFloat(goal.dataset.t || goal.hash.slice(3)));
});
const help = find(".help");
const deeds = {
  play: toggle, in: () => magnify(2), out: () => magnify(0.5), fit: () => magnify(0),
  help: () => help.showModal(),
};
all("[data-do]").forEach((button) =>
  button.addEventListener("click", () => deeds[button.dataset.do]()));
const keys = {
  " ": toggle, "?": deeds.help, "+": deeds.in, "=": deeds.in, "-": deeds.out, 0: deeds.fit,
  ArrowLeft: () => seek(neighbour(false)), ArrowRight: () => seek(neighbour(true)),
  ArrowUp: () => { select(lane - 1, true); show(); },
  ArrowDown: () => { select(lane + 1, true); show(); },
  Home: () => seek(from), End: () => seek(tracks[lane].start.at(-1) ?? until),
};
document.addEventListener("keydown", (event) => {
  const onPage = event.target === document.body || event.target.closest(".plot, .scroll");
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (!plain || help.open || !(event.key in keys)) return;
  if (!onPage && !"?+-=0".includes(event.key)) return;  // buttons and players have keys of their own
  if (event.key === " " && (!media || screen.hidden)) return;  // then it turns the page, as ever
  event.preventDefault();
  keys[event.key]();
});
if (media) {
  media.addEventListener("play", () => { play.textContent = "⏸"; hover = null; run(); });
  media.addEventListener("pause", () => { play.textContent = "▶"; });
  media.addEventListener("seeked", () => {
    // What was asked for stays, where the player only rounds it: it may begin a window.
    if (Math.abs(media.currentTime - time) > 0.001) seek(media.currentTime, true);
    boxes();
  });
  const ready = () => {  // what was chosen before the file could be read
    if (media.paused && time > 0) media.currentTime = time;
    boxes();
  };
  media.addEventListener("loadedmetadata", ready);
  if (media.readyState) ready();
} else play.hidden = true;
let opened = [];
addEventListener("beforeprint", () => {
  opened = all("details:not([open])");
  opened.forEach((one) => { one.open = true; });
});
addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
new ResizeObserver(() => { write(); boxes(); }).observe(scroll);

root.classList.add("live");
find(".stage").classList.add("live");
for (const part of [panel, now, find(".zoom"), head]) part.hidden = false;
show();
})();
