// The status page. It reads /api/stream and draws it; nothing is sent but what is asked for, and every value that
// comes from outside becomes text by textContent alone.
//
// What tests and other tools may rely on:
//   html[data-connection]        connecting, live, lost or hidden; #connection says it in words
//   #glance [data-figure=NAME] b   running, starting, waiting, unread, oldest, dead
//   #notice                      shown while paused, or while Redis does not answer
//   #events > li[data-event=ID][data-task=TASK]; in it .open (a button, opens the story), .cells (a listbox; its
//                                option spans have data-index and data-state), .tally (numbers by state in words)
//                                states: waiting begun pod starting running cancelling retrying succeeded failed cancelled
//   #hour > figure[data-chart=NAME]   begun, ended, latency, reaction
//   #replicas > li[data-replica=NAME][data-state]
//   #failures > li[data-event][data-index], #dead > li[data-event]; each has one button, which opens the story
//   #search, #search-text        the search; #found is its dialog, #found-list > li[data-event] what it found
//   dialog#story[open][data-event=ID]; #story-steps > li[data-step=WORD] (sent, read, begun, created, running,
//                                retried, cancelling, worker ended, ended, dead-lettered)
//                                #story-workers > li[data-index][data-state], with .logs buttons [data-attempt]; a
//                                kept log goes to a pre.log in it
//   links: /#task=TASK opens the story of the only event of that task, else the search; /#event=ID opens a story

"use strict";

const LONGEST_SILENCE_MS = 12000; // the server sends something every 5 s
const LONGEST_CONNECT_MS = 10000;
const LOST_AFTER_MS = 2500; // a reconnect that is quicker is not worth a word
const BACK_OFF_MS = [500, 1000, 2000, 4000, 8000, 15000];
const HIDDEN_MS = 30000; // a tab in the background stops looking after so long
const MOST_CELLS = 3000; // drawn; events behind them show numbers and a bar
const MOST_CELLS_AN_EVENT = 300;
const WORKERS_A_PAGE = 100;
const PEEK_FRESH_MS = 1000;

const STATES = {
  ".": ["waiting", "·", "waiting"],
  c: ["begun", "B", "begun, no Pod yet"],
  p: ["pod", "P", "with a Pod"],
  s: ["starting", "S", "starting"],
  r: ["running", "R", "running"],
  x: ["cancelling", "X", "being cancelled"],
  w: ["retrying", "T", "tried again soon"],
  o: ["succeeded", "✓", "succeeded"],
  f: ["failed", "!", "failed"],
  k: ["cancelled", "–", "cancelled"],
};
const LETTER_OF = Object.fromEntries(Object.entries(STATES).map(([letter, [name]]) => [name, letter]));
const IN_BAR = ["r", "s", "p", "c", "x", "w", ".", "o", "f", "k"];

const $ = (id) => document.getElementById(id);
const root = document.documentElement;

// --- small things

function make(tag, classes, text) {
  const element = document.createElement(tag);
  if (classes) element.className = classes;
  if (text !== undefined) element.textContent = text;
  return element;
}

function draw(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function show(element, on) {
  if (element.hidden === on) element.hidden = !on;
}

const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));

function span(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 10) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${Math.floor(seconds % 60)}s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86400)}d ${Math.floor((seconds % 86400) / 3600)}h`;
}

const age = (seconds) => (seconds < 1 ? "now" : seconds < 10 ? `${Math.floor(seconds)} s` : span(seconds));

let now = Date.now(); // Redis's clock, of the last snapshot
const ago = (moment) => {
  const seconds = (now - Date.parse(moment)) / 1000;
  return Number.isNaN(seconds) ? "" : seconds < 1 ? "now" : `${age(seconds)} ago`;
};

function clock(moment, precise) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return moment;
  const two = (value) => String(value).padStart(2, "0");
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const whole = !moment.includes(".") || moment.endsWith(".000Z"); // a clock that knows seconds only
  return precise && !whole ? `${time}.${String(date.getMilliseconds()).padStart(3, "0")}` : time;
}

// Children of a list by key: made once, kept in order, updated in place.
function keyed(list, items, keyOf, create, update) {
  const known = list.byKey || (list.byKey = new Map());
  const wanted = new Set();
  let place = list.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    if (wanted.has(key)) continue;
    wanted.add(key);
    let child = known.get(key);
    if (!child) {
      child = create(item);
      known.set(key, child);
    }
    if (child === place) place = place.nextElementSibling;
    else list.insertBefore(child, place);
    update(child, item);
  }
  for (const [key, child] of known) {
    if (!wanted.has(key)) {
      child.remove();
      known.delete(key);
    }
  }
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  let told = {};
  try {
    told = await answer.json();
  } catch {
    told = { error: `the answer was ${answer.status}` };
  }
  if (!answer.ok) throw new Error(told.error || `the answer was ${answer.status}`);
  return told;
}

// --- the connection

const connection = { abort: null, tries: 0, lostAt: 0, heardAt: 0, timer: 0, why: "" };

function connected(state, words) {
  if (root.dataset.connection !== state) root.dataset.connection = state;
  say($("connection"), words);
}

async function connect() {
  clearTimeout(connection.timer);
  if (connection.abort) connection.abort.abort();
  const abort = (connection.abort = new AbortController());
  const impatience = setTimeout(() => abort.abort(), LONGEST_CONNECT_MS);
  try {
    const answer = await fetch("api/stream", { cache: "no-store", signal: abort.signal });
    clearTimeout(impatience);
    if (!answer.ok) {
      const told = await answer.json().catch(() => ({}));
      throw new Error(told.error || `the answer was ${answer.status}`);
    }
    connection.heardAt = Date.now();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      connection.heardAt = Date.now();
      held += value;
      const parts = held.split("\n\n");
      held = parts.pop();
      for (const part of parts) heard(part);
    }
    if (abort === connection.abort) again(connection.ended ? 0 : BACK_OFF_MS[0], "");
    connection.ended = false;
  } catch (error) {
    clearTimeout(impatience);
    if (abort === connection.abort && root.dataset.connection !== "hidden") {
      lost(error.name === "TypeError" || error.name === "AbortError" ? "" : error.message);
    }
  }
}

function heard(part) {
  if (part.startsWith("event: again")) connection.ended = true;
  else if (part.startsWith("data: ")) {
    connection.tries = 0;
    connection.lostAt = 0;
    connected("live", "live");
    snapshot(JSON.parse(part.slice(6)));
  }
}

function lost(why) {
  connection.lostAt = connection.lostAt || Date.now();
  connection.why = why;
  const pause = BACK_OFF_MS[Math.min(connection.tries, BACK_OFF_MS.length - 1)];
  connection.tries += 1;
  again(pause * (0.75 + Math.random() / 2), why);
}

function again(pause) {
  connection.due = Date.now() + pause;
  connection.timer = setTimeout(connect, pause);
}

function watchConnection() {
  const at = Date.now();
  if (root.dataset.connection === "hidden") return;
  if (!connection.lostAt && connection.heardAt && at - connection.heardAt > LONGEST_SILENCE_MS) {
    connection.abort.abort();
    connection.abort = null;
    lost("");
  }
  if (connection.lostAt && at - connection.lostAt > LOST_AFTER_MS) {
    const left = Math.max(0, Math.ceil((connection.due - at) / 1000));
    const when = left > 0 ? `retrying in ${left} s` : "retrying";
    connected("lost", `${connection.why || "connection lost"}, ${when}`);
  }
}

let hiding = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) {
    hiding = setTimeout(() => {
      connected("hidden", "not looking");
      clearTimeout(connection.timer);
      if (connection.abort) connection.abort.abort();
    }, HIDDEN_MS);
  } else if (root.dataset.connection === "hidden") {
    connected("connecting", "connecting …");
    connection.lostAt = 0;
    connect();
  }
});

// --- a snapshot

let last = null;

function snapshot(told) {
  if (told.error) {
    notice(told.error, true);
    return;
  }
  last = told;
  now = Date.parse(told.at) || Date.now();
  notice(told.paused ? `Paused since ${clock(told.paused)}: what runs goes on, nothing new is begun.` : "", false);
  say($("scope"), `${told.stream} · ${told.group}`);
  glance(told);
  events(told);
  replicas(told.replicas);
  failures(told.failures);
  dead(told.dead);
  hour(told.hour);
  if ($("story").open) refreshStory();
}

function notice(text, bad) {
  show($("notice"), text !== "");
  say($("notice"), text);
  $("notice").classList.toggle("bad", bad);
}

function figure(name, value, beside, state) {
  const box = $("glance").querySelector(`[data-figure=${name}]`);
  say(box.querySelector("b"), value);
  say(box.querySelector("span"), beside);
  if (box.dataset.state !== state) box.dataset.state = state;
}

function glance(told) {
  const alive = told.replicas.filter((each) => each.state !== "silent");
  const sum = (name) => alive.reduce((total, each) => total + (each[name] || 0), 0);
  const busy = sum("workers");
  const slots = sum("workers_max");
  const running = told.running === null ? null : Math.min(told.running, busy);
  figure("running", number(running === null ? busy : running), slots ? `of ${number(slots)} slots` : "no slots", slots && busy >= slots ? "full" : "");
  const bars = $("glance").querySelectorAll(".meter i");
  const share = (value) => `${slots ? Math.min(100, (100 * value) / slots) : 0}%`;
  bars[0].style.width = share(running === null ? busy : running);
  bars[1].style.width = share(running === null ? 0 : busy - running);
  figure("starting", number(running === null ? null : busy - running), "", "");
  figure("waiting", number(told.waiting), told.waiting === 1 ? "worker" : "workers", "");
  const lag = told.backlog.lag;
  figure("unread", lag === null ? "?" : number(lag), "in the stream", "");
  const oldest = told.backlog.oldest_pending;
  figure("oldest", oldest ? age(oldest.age_seconds) : "–", oldest ? `of ${number(told.backlog.pending)} event${told.backlog.pending === 1 ? "" : "s"}` : "none", "");
  figure("dead", number(told.dead.total), "", told.dead.total ? "bad" : "");
}

// --- events and their workers

function tallyOf(event) {
  const tally = {};
  for (const letter of event.cells) tally[letter] = (tally[letter] || 0) + 1;
  if (!event.cells) {
    tally.o = event.ok;
    tally.f = event.failed;
    tally.k = event.cancelled;
    tally["."] = Math.max(0, (event.n || 0) - event.ok - event.failed - event.cancelled);
  }
  return tally;
}

function words(tally) {
  return IN_BAR.filter((letter) => tally[letter])
    .map((letter) => `${number(tally[letter])} ${STATES[letter][2]}`)
    .join(", ");
}

function events(told) {
  let room = MOST_CELLS;
  say($("events-total"), told.total ? number(told.total) : "");
  show($("events-none"), told.total === 0);
  keyed($("events"), told.events, (event) => event.id, newEvent, (row, event) => {
    const shown = Math.min(event.cells.length, MOST_CELLS_AN_EVENT, room);
    room -= shown;
    drawEvent(row, event, shown);
  });
  const left = told.total - told.events.length;
  show($("events-more"), left > 0);
  say($("events-more"), left > 0 ? `and ${number(left)} younger ones` : "");
}

function newEvent(event) {
  const row = make("li", "event");
  row.dataset.event = event.id;
  row.dataset.task = event.task;
  const open = make("button", "open");
  open.type = "button";
  open.append(make("span", "task", event.task || event.id), make("span", "id", event.id));
  open.addEventListener("click", () => openStory(event.id));
  const side = make("span", "facts");
  const head = make("div", "line");
  head.append(open, side);
  const bar = make("div", "bar-of");
  bar.setAttribute("aria-hidden", "true");
  const cells = make("div", "cells");
  cells.setAttribute("role", "listbox");
  cells.tabIndex = 0;
  cells.letters = "";
  cellKeys(cells, event.id);
  row.append(head, bar, cells, make("p", "tally"));
  return row;
}

function drawEvent(row, event, shown) {
  const [head, bar, cells, tallyLine] = row.children;
  const tally = tallyOf(event);
  const told = event.type === "scale_down" ? `takes away ${event.n === null ? "all of them" : number(event.n)}` : words(tally);
  const facts = [age(event.age)];
  if (event.type === "scale_down") facts.unshift("scale down");
  else facts.unshift(`${number(event.ok + event.failed + event.cancelled)} of ${number(event.n)} ended`);
  if (event.again) facts.push(`${number(event.again)} in a later attempt`);
  if (event.strikes) facts.push(`${event.strikes} strike${event.strikes > 1 ? "s" : ""}`);
  facts.push(event.owner || "nobody's");
  say(head.lastElementChild, facts.join(" · "));
  const aggregated = event.type !== "scale_down" && shown < (event.n || 0);
  show(bar, aggregated);
  if (aggregated) drawBar(bar, tally);
  show(cells, shown > 0);
  if (shown > 0) drawCells(cells, event, shown);
  const rest = aggregated && shown > 0 ? `; the first ${number(shown)} are drawn` : "";
  say(tallyLine, told + rest);
}

function drawBar(bar, tally) {
  const total = Object.values(tally).reduce((sum, count) => sum + count, 0) || 1;
  const letters = IN_BAR.filter((letter) => tally[letter]);
  const wanted = letters.map((letter) => `${letter}${tally[letter]}`).join();
  if (bar.wanted === wanted) return;
  bar.wanted = wanted;
  bar.replaceChildren(
    ...letters.map((letter) => {
      const part = make("i");
      part.dataset.state = STATES[letter][0];
      part.style.flexGrow = String(tally[letter] / total);
      return part;
    }),
  );
}

function drawCells(cells, event, shown) {
  const letters = event.cells.slice(0, shown);
  cells.setAttribute("aria-label", `Workers of ${event.task || event.id}`);
  if (cells.letters === letters) return;
  while (cells.childElementCount > shown) cells.lastElementChild.remove();
  for (let index = 0; index < shown; index += 1) {
    const letter = letters[index];
    if (cells.letters[index] === letter && index < cells.childElementCount) continue;
    let cell = cells.children[index];
    if (!cell) {
      cell = make("span");
      cell.setAttribute("role", "option");
      cell.id = `cell-${event.id}-${index}`;
      cell.dataset.index = index;
      cells.append(cell);
    }
    const [name, sign, words] = STATES[letter] || STATES["."];
    cell.dataset.state = name;
    cell.textContent = sign;
    cell.setAttribute("aria-label", `worker ${index}, ${words}`);
  }
  cells.letters = letters;
}

function cellKeys(cells, eventId) {
  let chosen = -1;
  const choose = (index) => {
    const cell = cells.children[index];
    if (!cell) return;
    if (cells.children[chosen]) cells.children[chosen].removeAttribute("aria-selected");
    chosen = index;
    cell.setAttribute("aria-selected", "true");
    cells.setAttribute("aria-activedescendant", cell.id);
    peek(eventId, cell);
  };
  cells.addEventListener("keydown", (press) => {
    const line = Math.max(1, Math.floor(cells.clientWidth / (cells.firstElementChild?.offsetWidth + 3 || 1)));
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: line, ArrowUp: -line }[press.key];
    if (step) choose(Math.max(0, Math.min(cells.childElementCount - 1, chosen + step)));
    else if (press.key === "Home") choose(0);
    else if (press.key === "End") choose(cells.childElementCount - 1);
    else if (press.key === "Enter" || press.key === " ") openStory(eventId, chosen);
    else if (press.key === "Escape") unpeek();
    else return;
    press.preventDefault();
  });
  cells.addEventListener("focus", () => choose(Math.max(0, chosen)));
  cells.addEventListener("blur", unpeek);
  cells.addEventListener("click", (click) => {
    const cell = click.target.closest("[data-index]");
    if (cell) openStory(eventId, Number(cell.dataset.index));
  });
  cells.addEventListener("pointerover", (pointer) => {
    const cell = pointer.target.closest("[data-index]");
    if (cell && pointer.pointerType === "mouse") peek(eventId, cell);
  });
  cells.addEventListener("pointerleave", unpeek);
}

// What one worker is about, beside its cell. The event is asked for once in a while only.

const peeked = { key: "", event: "", at: 0, told: null };

async function peek(eventId, cell) {
  const key = `${eventId}/${cell.dataset.index}`;
  peeked.key = key;
  tellPeek(cell, null);
  if (peeked.event !== eventId || Date.now() - peeked.at > PEEK_FRESH_MS) {
    peeked.event = eventId;
    peeked.at = Date.now();
    peeked.told = ask(`api/event?id=${encodeURIComponent(eventId)}`).catch(() => null);
  }
  const told = await peeked.told;
  if (peeked.key === key && told) tellPeek(cell, told);
}

function tellPeek(cell, told) {
  const index = Number(cell.dataset.index);
  const letter = LETTER_OF[cell.dataset.state];
  const worker = told && told.workers.find((each) => each.index === index);
  const lines = [`worker ${index}: ${STATES[letter][2]}`];
  if (worker) {
    const since = worker.finished_at || worker.started_at || worker.created_at;
    if (since) lines[0] += `, ${worker.finished_at ? ago(since) : `for ${age((now - Date.parse(since)) / 1000)}`}`;
    if (worker.reason && worker.reason !== "Completed") lines.push(worker.reason + (worker.exit_code === null ? "" : `, exit code ${worker.exit_code}`));
    lines.push(`attempt ${worker.attempt}${worker.node ? ` on ${worker.node}` : ""}`);
    if (worker.pod) lines.push(worker.pod);
    if (worker.cancelled_by) lines.push(`cancelled by ${worker.cancelled_by}`);
  }
  const box = $("peek");
  box.replaceChildren(...lines.map((line) => make("div", "", line)));
  box.hidden = false;
  const at = cell.getBoundingClientRect();
  const left = Math.min(at.left, window.innerWidth - box.offsetWidth - 8);
  const above = at.bottom + box.offsetHeight + 8 > window.innerHeight;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${above ? at.top - box.offsetHeight - 6 : at.bottom + 6}px`;
}

function unpeek() {
  peeked.key = "";
  $("peek").hidden = true;
}

// --- replicas, failures, dead letters

function replicas(told) {
  const alive = told.filter((each) => each.state !== "silent").length;
  say($("replicas-total"), told.length ? (alive === told.length ? String(alive) : `${alive} of ${told.length} alive`) : "");
  show($("replicas-none"), told.length === 0);
  keyed(
    $("replicas"),
    told,
    (each) => each.consumer,
    (each) => {
      const row = make("li", "replica");
      row.dataset.replica = each.consumer;
      const meter = make("span", "meter");
      meter.setAttribute("aria-hidden", "true");
      meter.append(make("i"));
      row.append(make("span", "name", each.consumer), make("span", "chip"), make("span", "slots"), meter, make("span", "soft"));
      return row;
    },
    (row, each) => {
      const [, chip, slots, meter, rest] = row.children;
      if (row.dataset.state !== each.state) row.dataset.state = each.state;
      say(chip, each.state);
      say(slots, `${number(each.workers)} of ${number(each.workers_max)} slots`);
      meter.firstElementChild.style.width = `${each.workers_max ? Math.min(100, (100 * each.workers) / each.workers_max) : 0}%`;
      const parts = [];
      if (each.lease_seconds !== null) parts.push(`lease ${each.lease_seconds} s`);
      if (each.state === "silent" && each.last_beat_at) parts.push(`last beat ${ago(each.last_beat_at)}`);
      else if (each.events_in_hand !== null) parts.push(`${number(each.events_in_hand)} event${each.events_in_hand === 1 ? "" : "s"} in hand`);
      say(rest, parts.join(" · "));
    },
  );
}

function entry(item, title, facts, text) {
  const row = make("li");
  row.dataset.event = item.event_id;
  const open = make("button", "open");
  open.type = "button";
  open.append(make("span", "task", title));
  open.addEventListener("click", () => openStory(item.event_id, item.index));
  const line = make("div", "line");
  line.append(open, make("span", "facts", facts));
  row.append(line);
  if (text) row.append(make("p", "text", text));
  return row;
}

function failures(told) {
  show($("failures-none"), told.length === 0);
  keyed(
    $("failures"),
    told,
    (each) => `${each.event_id} ${each.reason} ${each.exit_code} ${each.message}`,
    (each) => {
      const row = entry(each, each.task_id || each.event_id, "", each.message);
      const chip = make("span", "chip", each.reason + (each.exit_code === null ? "" : ` ${each.exit_code}`));
      chip.dataset.state = "failed";
      row.firstElementChild.insertBefore(chip, row.firstElementChild.lastElementChild);
      return row;
    },
    (row, each) => {
      row.dataset.index = each.index;
      const others = each.count > 1 ? ` and ${number(each.count - 1)} other${each.count > 2 ? "s" : ""}` : "";
      say(row.querySelector(".facts"), `worker ${each.index}${others} · ${ago(each.finished_at)}`);
    },
  );
}

function dead(told) {
  say($("dead-total"), told.total ? number(told.total) : "");
  show($("dead-none"), told.total === 0);
  keyed(
    $("dead"),
    told.newest,
    (each) => each.id,
    (each) => entry(each, each.task_id || each.event_id, "", each.error),
    (row, each) => say(row.querySelector(".facts"), ago(each.at)),
  );
}

// --- the last hour

const MINUTES = 60;
const CHARTS = [
  ["begun", "Workers begun", "a minute"],
  ["ended", "Workers ended", "a minute"],
  ["latency", "Event latency", "from XADD to the first create"],
  ["reaction", "Reaction", "from a Pod's end to its delete"],
];
let drawnHour = "";

function hour(told) {
  const key = JSON.stringify(told.minutes) + Math.floor(now / 60000);
  if (key === drawnHour) return;
  drawnHour = key;
  const widths = { counts: 4, latency: told.latency.length + 1, reaction: told.reaction.length + 1 };
  const minutes = Array.from({ length: MINUTES }, (_, at) => {
    const line = new Array(widths.counts + widths.latency + widths.reaction).fill(0);
    const pairs = told.minutes[at] || [];
    for (let i = 0; i < pairs.length; i += 2) line[pairs[i]] = pairs[i + 1];
    return line;
  }).reverse(); // the oldest first
  const counts = (place) => minutes.map((line) => line[place]);
  const spread = (from, ends) => minutes.map((line) => quantiles(line.slice(from, from + ends.length + 1), ends));
  const all = (from, ends) => {
    const sum = new Array(ends.length + 1).fill(0);
    for (const line of minutes) for (let i = 0; i <= ends.length; i += 1) sum[i] += line[from + i];
    return quantiles(sum, ends);
  };
  chart("begun", (box) => bars(box, [["begun", counts(0)]]));
  chart("ended", (box) => bars(box, [["succeeded", counts(1)], ["failed", counts(2)], ["cancelled", counts(3)]]));
  const reactionFrom = widths.counts + widths.latency;
  chart("latency", (box) => lines(box, spread(widths.counts, told.latency), all(widths.counts, told.latency)));
  chart("reaction", (box) => lines(box, spread(reactionFrom, told.reaction), all(reactionFrom, told.reaction)));
}

function chart(name, fill) {
  const box = $("hour");
  let figure = box.querySelector(`[data-chart=${name}]`);
  if (!figure) {
    const [, title, unit] = CHARTS.find((each) => each[0] === name);
    figure = make("figure");
    figure.dataset.chart = name;
    const caption = make("figcaption");
    caption.append(make("b", "", title), make("span", "soft", unit), make("span", "value"));
    figure.append(caption, draw("svg", { viewBox: "0 0 240 48", preserveAspectRatio: "none", role: "img" }));
    box.append(figure);
  }
  fill({ svg: figure.querySelector("svg"), value: figure.querySelector(".value"), title: figure.querySelector("b").textContent });
}

function bars(box, series) {
  const totals = series[0][1].map((_, at) => series.reduce((sum, [, values]) => sum + values[at], 0));
  const most = Math.max(...totals, 1);
  const parts = [baseline()];
  for (let at = 0; at < MINUTES; at += 1) {
    let top = 47;
    for (const [state, values] of series) {
      if (!values[at]) continue;
      const high = Math.max(1, (44 * values[at]) / most);
      top -= high;
      parts.push(draw("rect", { x: at * 4 + 0.5, y: top, width: 3, height: high, class: `fill-${state}` }));
    }
  }
  box.svg.replaceChildren(...parts);
  const sums = series.map(([state, values]) => [state, values.reduce((sum, value) => sum + value, 0)]);
  const told = series.length === 1 ? `${number(sums[0][1])} in the hour` : sums.filter(([, sum], at) => sum || !at).map(([state, sum]) => `${number(sum)} ${state}`).join(", ");
  say(box.value, told);
  box.svg.setAttribute("aria-label", `${box.title} in the last hour: ${told}; at most ${number(Math.max(...totals))} in a minute`);
}

function quantiles(counts, ends) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (!total) return null;
  const at = (share) => {
    let seen = 0;
    for (let i = 0; i < counts.length; i += 1) {
      if (seen + counts[i] >= share * total) {
        if (i === ends.length) return ends[ends.length - 1];
        const low = i ? ends[i - 1] : 0;
        return low + ((ends[i] - low) * (share * total - seen)) / counts[i];
      }
      seen += counts[i];
    }
    return ends[ends.length - 1];
  };
  return [at(0.5), at(0.95)];
}

function lines(box, minutes, whole) {
  const values = minutes.filter(Boolean).flat();
  const most = Math.max(...values, 0.001);
  const least = Math.min(...values, most / 10);
  const high = (value) => 44 - (40 * Math.log(value / least)) / Math.log(most / least || 2);
  const parts = [baseline()];
  for (const [place, name] of [[1, "p95"], [0, "p50"]]) {
    let path = "";
    let open = false;
    minutes.forEach((minute, at) => {
      if (!minute) {
        open = false;
        return;
      }
      const y = high(Math.max(minute[place], least)).toFixed(1);
      path += open ? `L${at * 4 + 2} ${y}` : `M${at * 4 + 0.5} ${y}L${at * 4 + 3.5} ${y}`;
      open = true;
    });
    if (path) parts.push(draw("path", { d: path, class: `line-${name}`, "vector-effect": "non-scaling-stroke" }));
  }
  box.svg.replaceChildren(...parts);
  const told = whole ? `p50 ${span(whole[0])} · p95 ${span(whole[1])}` : "none";
  say(box.value, told);
  box.svg.setAttribute("aria-label", `${box.title} in the last hour: ${told}`);
}

const baseline = () => draw("path", { d: "M0 47.5H240", class: "base", "vector-effect": "non-scaling-stroke" });

// --- one event's story

const story = { id: "", told: null, shown: WORKERS_A_PAGE, asking: false, askedAt: 0, wanted: null };

function openStory(eventId, index) {
  unpeek();
  story.wanted = index === undefined || index < 0 ? null : index;
  const hash = `#event=${encodeURIComponent(eventId)}`;
  if (location.hash !== hash) location.hash = hash;
  else route();
}

async function showStory(eventId) {
  if (story.id !== eventId) {
    story.id = eventId;
    story.told = null;
    story.shown = WORKERS_A_PAGE;
    $("story-workers").byKey = null;
    for (const list of ["story-steps", "story-workers", "story-fields"]) $(list).replaceChildren();
    say($("story-title"), eventId);
    say($("story-about"), "reading …");
    show($("story-trouble"), false);
    show($("story-letter"), false);
    show($("story-work"), false);
  }
  const dialog = $("story");
  dialog.dataset.event = eventId;
  if (!dialog.open) dialog.showModal();
  story.askedAt = 0;
  await refreshStory();
}

async function refreshStory() {
  const over = story.told && story.told.status !== "in flight" && story.told.status !== "not read yet";
  if (story.asking || over || Date.now() - story.askedAt < 900) return;
  story.asking = true;
  story.askedAt = Date.now();
  const id = story.id;
  try {
    const told = await ask(`api/event?id=${encodeURIComponent(id)}`);
    if (id === story.id) tellStory(told);
  } catch (error) {
    if (id === story.id) {
      show($("story-trouble"), true);
      say($("story-trouble"), error.message);
      if (!story.told) say($("story-about"), "");
    }
  } finally {
    story.asking = false;
  }
  if (id !== story.id) refreshStory();
}

function tellStory(told) {
  story.told = told;
  show($("story-trouble"), false);
  say($("story-title"), told.task_id);
  const about = [told.event_id, told.type.replace("_", " "), told.status];
  if (told.pod_count !== null && told.type === "scale_up") about.push(`${number(told.pod_count)} worker${told.pod_count === 1 ? "" : "s"}`);
  for (const [name, count] of Object.entries(told.counts)) if (count) about.push(`${number(count)} ${name}`);
  if (told.of) about.push(`of ${told.of}`);
  say($("story-about"), about.filter(Boolean).join(" · "));
  keyed(
    $("story-steps"),
    told.steps,
    (step) => `${step.at} ${step.what} ${step.text}`,
    (step) => {
      const row = make("li");
      row.dataset.step = step.what;
      if (step.what === "ended") row.dataset.outcome = told.status;
      const time = make("time", "", clock(step.at, true));
      time.dateTime = step.at;
      const text = make("span", "what");
      text.append(make("b", "", step.what), make("span", "", ` ${step.text}`));
      row.append(time, make("span", "after", step.after > 0 && step.at.includes(".") ? `+${span(step.after)}` : ""), text);
      return row;
    },
    () => {},
  );
  storyWorkers();
  const letter = told.dead_letter;
  show($("story-letter"), Boolean(letter && letter.fields.length));
  if (letter && !$("story-fields").childElementCount) {
    for (const [name, value] of letter.fields) $("story-fields").append(make("dt", "", name), make("dd", "", value));
  }
}

function storyWorkers() {
  const told = story.told;
  const workers = told.workers;
  show($("story-work"), workers.length > 0);
  if (story.wanted !== null) {
    const place = workers.findIndex((each) => each.index === story.wanted);
    if (place >= story.shown) story.shown = Math.ceil((place + 1) / WORKERS_A_PAGE) * WORKERS_A_PAGE;
  }
  const times = workers.flatMap((each) => [each.created_at, each.finished_at]).filter(Boolean).map(Date.parse);
  const begin = Math.min(...times);
  const end = told.status === "in flight" ? Math.max(now, ...times) : Math.max(...times);
  keyed($("story-workers"), workers.slice(0, story.shown), (each) => each.index, newWorker, (row, each) => drawWorker(row, each, begin, end));
  const left = workers.length - story.shown;
  show($("story-more"), left > 0);
  say($("story-more"), `Show more (${number(Math.max(0, left))} left)`);
  const more = told.more_workers ? `, ${number(told.more_workers)} more are not told one by one` : "";
  say($("story-workers-title"), `Workers${more}`);
  if (story.wanted !== null) {
    const row = $("story-workers").querySelector(`[data-index="${story.wanted}"]`);
    story.wanted = null;
    if (row) {
      row.querySelector("details").open = true;
      row.scrollIntoView({ block: "center" });
    }
  }
}

function newWorker(worker) {
  const row = make("li");
  row.dataset.index = worker.index;
  const details = make("details");
  const summary = make("summary");
  const sign = make("span", "cell");
  sign.setAttribute("aria-hidden", "true");
  const line = draw("svg", { viewBox: "0 0 1000 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  summary.append(sign, make("span", "who", `worker ${worker.index}`), make("span", "how"), line, make("span", "took"));
  const more = make("div", "more");
  more.append(make("dl"), make("div", "logs"), make("p", "message"));
  details.append(summary, more);
  row.append(details);
  return row;
}

function drawWorker(row, worker, begin, end) {
  const key = JSON.stringify(worker) + (worker.finished_at ? `${begin} ${end}` : end);
  if (row.key === key) return;
  row.key = key;
  row.dataset.state = worker.state;
  const [summary, more] = row.firstElementChild.children;
  const [sign, , how, line, took] = summary.children;
  const letter = LETTER_OF[worker.state] || ".";
  sign.dataset.state = worker.state;
  say(sign, STATES[letter][1]);
  const reason = worker.reason && !["Completed", "Cancelled"].includes(worker.reason) ? `: ${worker.reason}` : "";
  say(how, worker.state + reason + (worker.exit_code ? ` (${worker.exit_code})` : "") + (worker.attempt ? `, attempt ${worker.attempt}` : ""));
  const created = Date.parse(worker.created_at);
  const started = Date.parse(worker.started_at);
  const finished = worker.finished_at ? Date.parse(worker.finished_at) : now;
  const x = (moment) => (1000 * (moment - begin)) / Math.max(1, end - begin);
  const parts = [];
  const stretch = (from, to, name) => {
    if (Number.isNaN(from) || to < from) return;
    parts.push(draw("rect", { x: x(from), y: 1, width: Math.max(3, x(to) - x(from)), height: 8, rx: 2, class: `fill-${name}` }));
  };
  stretch(created, Number.isNaN(started) ? finished : started, "starting");
  stretch(started, finished, worker.finished_at ? worker.state : "running");
  line.replaceChildren(...parts);
  const ran = (finished - started) / 1000;
  say(took, Number.isNaN(started) ? "" : ran > 0 ? span(ran) : "under 1 s");
  const facts = [["Pod", worker.pod], ["Node", worker.node], ["Attempt", String(worker.attempt)], ["Created", worker.created_at && clock(worker.created_at, true)],
    ["Running", worker.started_at && clock(worker.started_at, true)], ["Ended", worker.finished_at && clock(worker.finished_at, true)],
    ["Exit code", worker.exit_code === null ? "" : String(worker.exit_code)], ["Cancelled by", worker.cancelled_by],
    ["Tried again in", worker.due_in_seconds === undefined ? "" : span(worker.due_in_seconds)]].filter((fact) => fact[1]);
  const [list, logs, message] = more.children;
  list.replaceChildren(
    ...facts.map(([name, value]) => {
      const pair = make("div");
      const dd = make("dd");
      if (name === "Cancelled by") {
        const link = make("a", "", value);
        link.href = `./#event=${encodeURIComponent(value)}`;
        dd.append(link);
      } else dd.textContent = value;
      pair.append(make("dt", "", name), dd);
      return pair;
    }),
  );
  say(message, worker.message || "");
  show(message, Boolean(worker.message));
  keyed(logs, worker.logs, (attempt) => attempt, (attempt) => logOf(worker.index, attempt), () => {});
}

function logOf(index, attempt) {
  const box = make("div");
  const button = make("button", "", `Log of attempt ${attempt}`);
  button.type = "button";
  button.dataset.attempt = attempt;
  button.setAttribute("aria-expanded", "false");
  const text = make("pre", "log");
  text.hidden = true;
  text.tabIndex = 0;
  text.setAttribute("aria-label", `Log of worker ${index}, attempt ${attempt}`);
  text.setAttribute("role", "region");
  button.addEventListener("click", async () => {
    const open = text.hidden;
    text.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (!open || text.read) return;
    text.textContent = "reading …";
    try {
      const told = await ask(`api/log?id=${encodeURIComponent(story.id)}&index=${index}&attempt=${attempt}`);
      text.textContent = told.text || "(empty)";
      text.read = true;
    } catch (error) {
      text.textContent = error.message;
    }
  });
  box.append(button, text);
  return box;
}

$("story-more").addEventListener("click", () => {
  story.shown += WORKERS_A_PAGE;
  storyWorkers();
});

// --- search and links

async function showSearch(text, straight) {
  $("search-text").value = text;
  const asked = location.hash;
  let told;
  try {
    told = await ask(`api/search?q=${encodeURIComponent(text)}`);
  } catch (error) {
    told = { found: [], error: error.message };
  }
  if (location.hash !== asked) return; // the address names something else by now
  const exact = told.found.filter((each) => each.task_id === text || each.event_id === text);
  if (straight && exact.length === 1) {
    history.replaceState(null, "", `#event=${encodeURIComponent(exact[0].event_id)}`);
    routed = location.hash;
    if ($("found").open) $("found").close(); // the list of another task
    return showStory(exact[0].event_id);
  }
  say($("found-title"), `Events for ${text}`);
  show($("found-none"), told.found.length === 0);
  say($("found-none"), told.error || "Nothing known bears this id: not sent, or its time is over.");
  $("found-list").replaceChildren(
    ...told.found.map((each) => {
      const row = entry(each, each.task_id, `${each.event_id}${each.type ? ` · ${each.type.replace("_", " ")}` : ""}`);
      const chip = make("span", "chip", each.status);
      chip.dataset.state = each.status;
      row.firstElementChild.insertBefore(chip, row.firstElementChild.lastElementChild);
      return row;
    }),
  );
  if (told.more) $("found-list").append(make("li", "soft", "and more"));
  if (!$("found").open) $("found").showModal();
}

let routed = ""; // the hash that is shown

function route() {
  routed = location.hash;
  const asked = new URLSearchParams(location.hash.slice(1));
  const wanted = asked.get("event") ? "story" : asked.get("task") ? "found" : "";
  for (const name of ["story", "found"]) if (name !== wanted && $(name).open) $(name).close();
  if (asked.get("event")) showStory(asked.get("event"));
  else if (asked.get("task")) showSearch(asked.get("task"), true);
}

$("search").addEventListener("submit", (submit) => {
  submit.preventDefault();
  const text = $("search-text").value.trim();
  if (!text) return;
  const hash = `#task=${encodeURIComponent(text)}`;
  if (location.hash === hash) route();
  else location.hash = hash;
});

for (const name of ["story", "found"]) {
  const dialog = $(name);
  dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (click) => {
    if (click.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    // It is told late: by then the address may name another event, which is about to be shown.
    const key = name === "story" ? "event" : "task";
    if (location.hash === routed && new URLSearchParams(routed.slice(1)).has(key)) history.replaceState(null, "", location.pathname + location.search);
  });
}

document.addEventListener("keydown", (press) => {
  const typing = press.target.closest("input, textarea");
  if (press.key === "/" && !typing && !document.querySelector("dialog[open]")) {
    press.preventDefault();
    $("search-text").focus();
  }
});

window.addEventListener("hashchange", route);
window.addEventListener("scroll", unpeek, { passive: true });

for (const letter of ["r", "s", "c", "w", ".", "x", "o", "f", "k"]) {
  const row = make("li");
  const cell = make("span", "cell", STATES[letter][1]);
  cell.dataset.state = STATES[letter][0];
  cell.setAttribute("aria-hidden", "true");
  row.append(cell, make("span", "", STATES[letter][0]));
  $("legend").append(row);
}

setInterval(watchConnection, 500);
connect();
route();
