// The first page: asks the API every few seconds and shows what it says. No library, nothing from elsewhere.
"use strict";

const TEXTS = {
  en: {
    title: "Milo answers the telephone",
    lede: "A voice agent that speaks Malagasy first, and French. It runs on this machine alone.",
    call: "Call it", call_how: "Dial with any SIP telephone on this machine (baresip, Linphone, MicroSIP):",
    copy: "Copy", copied: "Copied", terminal: "Or from a terminal:",
    number_milo: "the assistant", number_echo: "hear yourself", number_music: "a clocked tone and music",
    number_digits: "reads back what you press",
    notice: "The models that ship are demonstration models: small, and trained on synthetic speech. They know a few dozen sentences of one imagined office in Antananarivo. Other models are set in milo.toml, [engines].",
    state: "How it is", good: "All is well", degraded: "Something is not right", away: "Milo does not answer",
    ready: "takes calls", unready: "takes no calls now",
    live_calls: "Calls now", of: "of at most", waiting: "waiting", rows_waiting: "rows wait", database: "Call log", connected: "is written",
    disconnected: "cannot be written", demonstration: "demonstration",
    vad: "Voice activity", stt: "Understanding speech", llm: "Thinking", tts: "Voice",
    calls: "Calls", no_calls: "No calls yet.", calls_away: "The call log does not answer; calls go on.", live: "live", turns: "turns", turn: "turn", more: "Older calls",
    key: "The call log is shown to this machine, or with the key (API_KEY):", key_wrong: "This key is not the right one.", open: "Open",
    heard: "Heard", said: "Said", interrupted: "interrupted", no_turns: "Nobody spoke.", unknown: "unknown",
    by_caller: "the caller hung up", by_milo: "Milo hung up", by_network: "the connection was lost",
    loss: "lost", jitter: "jitter", round_trip: "round trip", one_way: "one way only?",
    stage_vad: "silence noticed", stage_end: "end of turn", stage_stt: "transcript", stage_llm: "first word", stage_tts: "first sound", stage_out: "sent", stage_total: "in all",
  },
  fr: {
    title: "Milo répond au téléphone",
    lede: "Un agent vocal qui parle d'abord malgache, et français. Il tourne sur cette seule machine.",
    call: "Appelez-le", call_how: "Composez avec n'importe quel téléphone SIP de cette machine (baresip, Linphone, MicroSIP) :",
    copy: "Copier", copied: "Copié", terminal: "Ou depuis un terminal :",
    number_milo: "l'assistant", number_echo: "entendez-vous vous-même", number_music: "une tonalité rythmée et de la musique",
    number_digits: "relit ce que vous tapez",
    notice: "Les modèles livrés sont des modèles de démonstration : petits, et entraînés sur de la parole de synthèse. Ils connaissent quelques dizaines de phrases d'un bureau imaginaire d'Antananarivo. D'autres modèles se règlent dans milo.toml, [engines].",
    state: "Comment il va", good: "Tout va bien", degraded: "Quelque chose ne va pas", away: "Milo ne répond pas",
    ready: "prend des appels", unready: "ne prend pas d'appel",
    live_calls: "Appels en cours", of: "sur", waiting: "en attente", rows_waiting: "lignes en attente", database: "Journal", connected: "s'écrit",
    disconnected: "ne peut être écrit", demonstration: "démonstration",
    vad: "Détection de voix", stt: "Compréhension", llm: "Réflexion", tts: "Voix",
    calls: "Appels", no_calls: "Aucun appel pour l'instant.", calls_away: "Le journal des appels ne répond pas ; les appels continuent.", live: "en cours", turns: "tours", turn: "tour", more: "Appels plus anciens",
    key: "Le journal se montre à cette machine, ou avec la clé (API_KEY) :", key_wrong: "Cette clé n'est pas la bonne.", open: "Ouvrir",
    heard: "Entendu", said: "Dit", interrupted: "interrompu", no_turns: "Personne n'a parlé.", unknown: "inconnu",
    by_caller: "l'appelant a raccroché", by_milo: "Milo a raccroché", by_network: "la connexion s'est perdue",
    loss: "perdus", jitter: "gigue", round_trip: "aller-retour", one_way: "un seul sens ?",
    stage_vad: "silence remarqué", stage_end: "fin du tour", stage_stt: "transcription", stage_llm: "premier mot", stage_tts: "premier son", stage_out: "envoyé", stage_total: "en tout",
  },
  mg: {
    title: "Mamaly antso an‑telefaonina i Milo",
    lede: "Mpanampy amin'ny feo izay miteny malagasy aloha, ary frantsay koa. Eto amin'ity milina ity ihany no iasany.",
    call: "Antsoy izy", call_how: "Antsoy amin'ny telefaonina SIP eto amin'ity milina ity (baresip, Linphone, MicroSIP):",
    copy: "Adikao", copied: "Voadika", terminal: "Na avy amin'ny terminal:",
    number_milo: "ilay mpanampy", number_echo: "henoy ny feonao", number_music: "feo miverimberina sy mozika",
    number_digits: "mamerina izay tsindrianao",
    notice: "Modely fampisehoana ireo modely miaraka amin'ity: kely, ary nampianarina tamin'ny feo namboarina. Fehezanteny am-polony vitsivitsy momba ny birao noforonina iray eto Antananarivo no fantany. Ao amin'ny milo.toml, [engines], no ametrahana modely hafa.",
    state: "Ny toetrany", good: "Mandeha tsara daholo", degraded: "Misy zavatra tsy mety", away: "Tsy mamaly i Milo",
    ready: "mandray antso", unready: "tsy mandray antso izao",
    live_calls: "Antso mandeha", of: "amin'ny", waiting: "miandry", rows_waiting: "andalana miandry", database: "Tahirin'antso", connected: "voasoratra",
    disconnected: "tsy azo soratana", demonstration: "fampisehoana",
    vad: "Fahitana feo", stt: "Fahazoana teny", llm: "Fisainana", tts: "Feo",
    calls: "Antso", no_calls: "Mbola tsy nisy antso.", calls_away: "Tsy mamaly ny tahirin'antso; mandeha ihany ny antso.", live: "mandeha", turns: "fifandimbiasana", turn: "fifandimbiasana", more: "Antso taloha kokoa",
    key: "Aseho eto amin'ity milina ity na amin'ny fanalahidy (API_KEY) ny tahirin'antso:", key_wrong: "Tsy izy io fanalahidy io.", open: "Sokafy",
    heard: "Re", said: "Voalaza", interrupted: "notapahina", no_turns: "Tsy nisy niteny.", unknown: "tsy fantatra",
    by_caller: "nametraka ny mpiantso", by_milo: "nametraka i Milo", by_network: "tapaka ny fifandraisana",
    loss: "very", jitter: "jitter", round_trip: "mandroso sy miverina", one_way: "lafiny iray ihany?",
    stage_vad: "fahanginana hita", stage_end: "faran'ny teny", stage_stt: "soratra", stage_llm: "teny voalohany", stage_tts: "feo voalohany", stage_out: "lasa", stage_total: "fitambarany",
  },
};

// A stage of the API, the colour and the text it has here. In the order in which they pass.
const STAGES = [["vad_ms", "vad"], ["end_of_turn_ms", "end"], ["stt_ms", "stt"], ["llm_first_token_ms", "llm"], ["tts_first_sample_ms", "tts"], ["packet_out_ms", "out"]];
const EVERY = 4000;
const PAGE = 25;

const $ = (id) => document.getElementById(id);
const wanted = () => [remembered("language"), ...navigator.languages.map((l) => l.slice(0, 2))].find((l) => l in TEXTS) ?? "en";
let language = "en";
let health = null;
let next = null;
let older = false;
const rows = new Map();
const t = (key) => TEXTS[language][key] ?? key;

// Storage may be switched off; then nothing is remembered.
function remembered(name, value) {
  try {
    const store = name === "key" ? sessionStorage : localStorage;
    if (value === undefined) return store.getItem(name) ?? "";
    store.setItem(name, value);
  } catch { /* as said */ }
  return "";
}

// An element with attributes and children; text is always text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

async function ask(path) {
  const key = remembered("key");
  const answer = await fetch(path, key ? { headers: { Authorization: `Bearer ${key}` } } : {});
  if (!answer.ok) throw Object.assign(new Error(path), { status: answer.status });
  return answer.json();
}

function translate(to) {
  language = to;
  document.documentElement.lang = to;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  $("languages").replaceChildren(...["mg", "fr", "en"].map((code) => {
    const button = make("button", { type: "button", lang: code, "aria-pressed": String(code === to) }, code.toUpperCase());
    button.onclick = () => { remembered("language", code); translate(code); };
    return button;
  }));
  showHealth();
  for (const row of rows.values()) { row.seen = ""; showRow(row); }
}

function part(name, value, more) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, value, more ? make("small", {}, more) : null));
}

function showHealth() {
  const state = health === null ? "away" : health.degraded.length ? "degraded" : "good";
  $("status").className = `status ${state === "good" ? "good" : "bad"}`;
  $("status").textContent = t(state) + (health ? ` · ${t(health.ready ? "ready" : "unready")}` : "");
  const faults = health ? [...health.degraded, ...(health.unready ? [health.unready] : [])] : [];
  $("faults").hidden = !faults.length;
  $("faults").replaceChildren(...faults.map((fault) => make("li", {}, fault)));
  if (!health) return;
  $("version").textContent = health.version;
  $("notice").hidden = !health.notice;
  // A number has an address on each listener; the first one (UDP) is shown. 0.0.0.0 is everywhere: here it has a name.
  const numbers = [...new Map(health.dial.toReversed().map((dial) => [dial.number, dial])).values()].toReversed()
    .map(({ number, uri }) => ({ number, uri: uri.replace(/@(0\.0\.0\.0|\[::\])/, `@${location.hostname}`) }));
  const main = numbers.find((dial) => dial.number === "milo") ?? numbers[0];
  if (main) {
    $("dial").textContent = main.uri;
    $("terminal").textContent = `milo call ${main.uri}`;
  }
  $("numbers").replaceChildren(...numbers.map(({ number, uri }) => {
    const known = t(`number_${number}`);
    return make("li", { title: uri }, make("b", {}, number), known === `number_${number}` ? uri : known);
  }));
  const parts = [part(t("live_calls"), String(health.live_calls), `${t("of")} ${health.call_limit}`)];
  for (const model of health.models) {
    const queue = health.queues[model.job];
    const details = [model.demonstration ? t("demonstration") : "", queue ? `${queue} ${t("waiting")}` : ""].filter(Boolean);
    parts.push(part(t(model.job), model.name, details.join(" · ")));
  }
  const { kind, connected, rows_waiting: waiting } = health.database;
  parts.push(part(t("database"), { sqlite: "SQLite", postgres: "Postgres" }[kind] ?? kind, `${t(connected ? "connected" : "disconnected")}${waiting ? ` · ${waiting} ${t("rows_waiting")}` : ""}`));
  $("parts").replaceChildren(...parts);
}

function lasted(call) {
  const seconds = Math.max(0, Math.round(((call.ended ? Date.parse(call.ended) : Date.now()) - Date.parse(call.started)) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

// One leg's figures in a line; what was not measured is left out.
function sounded({ codec, mos, loss_percent: loss, jitter_ms: jitter, round_trip_ms: trip, level_dbfs: level, one_way: oneWay }) {
  return [codec, mos && `MOS ${mos.toFixed(1)}`, `${t("loss")} ${loss} %`, `${t("jitter")} ${jitter} ms`,
    trip !== null && `${t("round_trip")} ${Math.round(trip)} ms`, level !== null && `${level} dBFS`, oneWay && `${t("one_way")} (${oneWay})`].filter(Boolean).join(" · ");
}

function showRow(row) {
  const { call } = row;
  const now = [language, call.ended ? "" : Date.now() / 1000 | 0, call.turn_count, call.language, call.answered].join();
  if (row.seen === now) return;
  row.seen = now;
  const when = new Intl.DateTimeFormat([language, "fr"], { dateStyle: "medium", timeStyle: "short" }).format(new Date(call.started));
  row.summary.replaceChildren(
    make("span", { class: "who" }, `${call.from || t("unknown")} → ${call.to}`),
    make("span", { class: "when" }, when),
    make("span", { class: "turns" }, `${call.turn_count} ${t(call.turn_count === 1 ? "turn" : "turns")}${call.language ? ` · ${call.language}` : ""}${call.quality?.[0]?.mos ? ` · MOS ${call.quality[0].mos.toFixed(1)}` : ""}`),
    make("span", { class: call.ended ? "long" : "long live" }, call.ended ? lasted(call) : `${t("live")} ${lasted(call)}`),
  );
  if (row.details.open) showInside(row);
}

function bar(stages) {
  const known = STAGES.filter(([field]) => stages[field] !== null);
  if (!known.length) return [];
  const ms = (value) => `${Math.round(value)} ms`;
  const legend = known.map(([field, name]) => make("li", {}, make("i", { class: name }), `${t(`stage_${name}`)} `, make("b", {}, ms(stages[field]))));
  if (stages.total_ms !== null) legend.push(make("li", {}, `${t("stage_total")} `, make("b", {}, ms(stages.total_ms))));
  const segments = known.map(([field, name]) => {
    const segment = make("i", { class: name, title: `${t(`stage_${name}`)}: ${ms(stages[field])}` });
    segment.style.flexGrow = String(Math.max(stages[field], 0));
    return segment;
  });
  return [make("div", { class: "bar", "aria-hidden": "true" }, ...segments), make("ul", { class: "legend" }, ...legend)];
}

function turn({ heard, said, said_heard: wasHeard, interrupted, confidence, stages, language: spoken }) {
  const lines = [];
  if (heard !== null) {
    const sure = confidence === null ? "" : ` ${Math.round(confidence * 100)} %`;
    lines.push(make("p", {}, make("span", { class: "label" }, t("heard") + sure), make("span", { lang: spoken ?? "" }, heard)));
  }
  if (said !== null) {
    // What was cut off is struck through: the caller never heard it.
    const reached = (wasHeard ?? said).replace(/—$/, "").trimEnd();
    const whole = !interrupted || !said.startsWith(reached);
    lines.push(make("p", {}, make("span", { class: "label" }, t("said")),
      make("span", { lang: spoken ?? "" }, whole ? (wasHeard ?? said) : reached, whole ? null : make("s", {}, said.slice(reached.length)),
        interrupted ? make("small", {}, ` (${t("interrupted")})`) : null)));
  }
  return make("div", { class: "turn" }, ...lines, ...bar(stages));
}

async function showInside(row) {
  let whole;
  try { whole = await ask(`/api/v1/calls/${row.call.id}`); } catch { return; }
  const inside = whole.turns.length ? whole.turns.map(turn) : [make("p", { class: "quiet" }, t("no_turns"))];
  if (whole.events.length) {
    inside.push(make("ul", { class: "events" }, ...whole.events.map((event) => {
      const after = ((Date.parse(event.at) - Date.parse(whole.started)) / 1000).toFixed(1);
      const detail = event.detail && typeof event.detail === "object" ? Object.entries(event.detail).map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ") : "";
      return make("li", {}, `${after} s `, make("code", {}, event.kind), detail ? ` ${detail}` : "");
    })));
  }
  for (const leg of whole.quality ?? []) inside.push(make("p", { class: "quiet" }, sounded(leg)));
  if (whole.ended) {
    const end = [whole.hangup_by ? t(`by_${whole.hangup_by}`) : "", whole.end_reason ?? ""].filter(Boolean).join(" · ");
    inside.push(make("p", { class: "end-of-call" }, end));
  }
  row.inside.replaceChildren(...inside);
}

function row(call) {
  const made = { call, seen: "", summary: make("summary"), inside: make("div", { class: "inside" }) };
  made.details = make("details", {}, made.summary, made.inside);
  // The open call stands in the address, so that it can be linked to.
  made.details.open = location.hash === `#${call.id}`;
  made.details.ontoggle = () => {
    if (!made.details.open) return;
    history.replaceState(null, "", `#${call.id}`);
    showInside(made);
  };
  return made;
}

function place(calls, atEnd) {
  for (const call of calls) {
    const known = rows.get(call.id);
    if (known) { known.call = call; showRow(known); continue; }
    const made = row(call);
    rows.set(call.id, made);
    showRow(made);
    if (atEnd) { $("calls").append(made.details); continue; }
    const after = [...rows.values()].filter((other) => other !== made && other.call.started <= call.started).sort((a, b) => (a.call.started < b.call.started ? 1 : -1))[0];
    $("calls").insertBefore(made.details, after ? after.details : null);
  }
}

async function loadCalls(cursor) {
  try {
    const page = await ask(`/api/v1/calls?limit=${PAGE}${cursor ? `&cursor=${cursor}` : ""}`);
    if (cursor || !older) next = page.next;
    older ||= Boolean(cursor);
    place(page.calls, Boolean(cursor));
    $("key-form").hidden = true;
    $("calls-state").hidden = rows.size > 0;
    $("calls-state").dataset.t = "no_calls";
  } catch (error) {
    const locked = error.status === 401;
    $("key-form").hidden = !locked;
    $("key-wrong").hidden = !(locked && remembered("key"));
    $("calls-state").hidden = locked || error.status === undefined;
    $("calls-state").dataset.t = "calls_away";
  }
  $("calls-state").textContent = t($("calls-state").dataset.t);
  $("more").hidden = !next;
}

async function refresh() {
  if (document.hidden) return;
  const [now] = await Promise.all([ask("/api/v1/health").catch(() => null), loadCalls()]);
  health = now;
  showHealth();
}

$("more").onclick = () => loadCalls(next);
$("key-form").onsubmit = (event) => { event.preventDefault(); remembered("key", $("key").value); loadCalls(); };
$("copy").onclick = async () => {
  try {
    await navigator.clipboard.writeText($("dial").textContent);
  } catch {
    // Without the right to the clipboard (plain HTTP from elsewhere): mark it, so that one key copies it.
    getSelection().selectAllChildren($("dial"));
    return;
  }
  $("copy").textContent = t("copied");
  setTimeout(() => { $("copy").textContent = t("copy"); }, 1500);
};
document.onvisibilitychange = refresh;
translate(wanted());
refresh();
setInterval(refresh, EVERY);
