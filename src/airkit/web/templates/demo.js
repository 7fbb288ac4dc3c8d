const REST = 200;  // milliseconds
const SMALL = .35, APART = .6;  // shares of the usual size below which an object is too small,
                                // alone and where a larger one sets the scale
const at = id => document.getElementById(id);
const drawing = at("drawing"), scaled = make("canvas");  // what is seen, what the model gets
let model = null;  // sizes, and what can be asked for
let waiting = null, busy = false;  // the question that comes next; whether one is under way
let resting = 0;  // the timer that runs while the pen rests
let items = [], past = [];  // what is drawn, and what was before each change
let held = null, spot = null;  // the item that arrows move, and where a key places the next
let holder = null;  // which pointer draws
let fits = false, zoom = 1;  // whether large drawings are scaled for the model, and by what

function make(tag, kind, ...inner) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...inner);
  return made;
}

function svg(tag, values, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(values).forEach(([name, value]) => made.setAttribute(name, value));
  made.textContent = text;
  return made;
}

const colour = slot => `var(--slot${slot % 7})`;
const percent = share => `${(100 * share).toFixed(1)} %`;
const named = n => `${n} ${model.what}${n === 1 ? "" : "s"}`;

/* Draw levels of grey, or of red, green and blue, in base64, on a canvas of one pixel each. */
function paint(packed, canvas, width) {
  const bytes = atob(packed), many = model.channels, pixels = bytes.length / many;
  canvas.width = width;
  canvas.height = pixels / width;
  const image = new ImageData(width, pixels / width);
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes.charCodeAt(many * i + c % many);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/* Ask one question at a time; of those that wait, only the newest is asked. */
function ask(path) {
  waiting = path;
  if (!busy) next();
}

async function next() {
  busy = true;
  while (waiting) {
    const path = waiting;
    waiting = null;
    try {
      const drawn = path === "/see" || path === "/best";
      const answer = await fetch(path, {method: "POST", body: drawn ? input() : undefined});
      if (!answer.ok) throw new Error(await answer.text());
      answered(path, await answer.json());
    } catch (error) {
      fail(error);
    }
  }
  busy = false;
}

/* What the model gets: the drawing, or with "fit size" a smaller one. */
function input() {
  if (zoom === 1) return levels(drawing);
  render(items, scaled, zoom);
  return levels(scaled);
}

/* Show the answer; when the pen rests, that of many looks together follows that of one. */
function answered(path, seen) {
  const late = waiting && path !== "/see";
  if (late) return;
  if (path === "/random" || path === "/sample") replace(seen, path);
  show(seen);
  if (!waiting && holder === null && seen.looks < model.looks) rest();
}

/* Ask for many looks together in a moment, unless the pen comes down again. */
function rest() {
  clearTimeout(resting);
  resting = setTimeout(() => {
    resting = 0;
    if (!busy) ask("/best");
  }, REST);
}

function fail(error) {
  const gone = error instanceof TypeError;
  at("count").textContent = "No answer";
  at("note").textContent = gone ? "Is airkit demo still running?" : error.message;
}

function replace(seen, path) {
  const source = path === "/random" ? "The data file has" : "The model was asked for";
  const truth = seen.true_count === null ? "" : `${source} ${seen.true_count}.`;
  change([{picture: paint(seen.image, make("canvas"), model.width), truth}]);
}

/* Draw other items, which can be undone. */
function change(others) {
  past.push(items);
  let_go();
  draw(others);
}

function draw(others) {
  items = others;
  render(items, drawing, 1);
  judge();
  at("undo").disabled = !past.length;
  at("truth").textContent = items.length === 1 && items[0].truth || "";
  at("hint").className = isEmpty(items) ? "" : "faint";
  at("hint").lastChild.textContent = items.length ? "Now draw your own, about this tall"
    : `Draw ${model.what}s about this tall`;
}

/* See whether what is drawn has a size that the model knows, and scale it if that is wished. */
function judge() {
  const found = hasPicture(items) ? [] : objects(items), what = `${model.what}s`;
  const most = Math.max(0, ...found.map(each => each.size)), large = most > model.largest;
  zoom = fits && large ? model.ink / most : 1;
  const small = holder === null && found.some(each => !isPart(each, found)
    && zoom * each.size < (zoom < 1 ? APART : SMALL) * model.ink);
  const trusted = !small && (zoom < 1 || !large);
  at("size").hidden = !large && !small;
  at("size").className = trusted ? "" : "warn";
  at("size").firstChild.textContent =
    trusted ? `Larger than the model's ${what}: it sees them at ${Math.round(100 * zoom)} %.`
    : small && zoom < 1 ? `The ${what} differ too much in size: do not trust this count.`
    : `${small ? "Smaller" : "Larger"} than the ${what} that the model knows: do not trust this count.`;
  at("fit").hidden = !large;
  at("fit").textContent = fits ? "Actual size" : "Fit size";
}

function undo() {
  if (!past.length || holder !== null) return;
  let_go();
  draw(past.pop());
  ask("/see");
}

function show(seen) {
  const [low, high] = seen.interval, most = seen.posterior.indexOf(Math.max(...seen.posterior));
  const strange = !at("size").hidden && at("size").className === "warn";
  at("count").textContent = (low === high ? named(seen.count)
    : `${low} ${high - low === 1 ? "or" : "to"} ${named(high)}`) + (strange ? "?" : "");
  at("count").classList.toggle("doubt", low < high || strange);
  at("doubt").textContent = seen.count === model.slots ? `at most ${model.slots} here`
    : low < high ? `most likely ${most}` : "";
  at("note").textContent = model.looks === 1 ? ""
    : seen.looks === 1 ? "from one look" : `${seen.looks} looks together`;
  seen.posterior.forEach((share, n) => {
    const row = at("posterior").children[n];
    row.className = n === most ? "most" : "";
    row.querySelector(".bar").style.width = `${100 * share}%`;
    row.querySelector(".share").textContent = percent(share);
  });
  seen.windows.forEach((window, slot) => {
    const item = at("slots").children[slot], present = slot < seen.count;
    item.className = present ? "" : "off";
    item.firstChild.style.borderColor = present ? colour(slot) : "";
    paint(window, item.querySelector("canvas"), model.window);
    item.lastChild.textContent = percent(seen.presence[slot]);
  });
  paint(seen.reconstruction, at("reconstruction"), model.width).style.scale = 1 / zoom;
  frame(seen.boxes);
}

/* Boxes over the drawing and over the reconstruction, numbered, at the size of the drawing. */
function frame(boxes) {
  const by = 1 / zoom;
  const rem = parseFloat(getComputedStyle(document.body).fontSize);
  for (const over of document.querySelectorAll(".boxes")) {
    const text = rem * model.width / over.clientWidth;
    over.replaceChildren(...boxes.flatMap(([x, y, width, height], slot) => {
      const [left, top] = zoomed([x, y], by);
      const box = svg("rect", {x: left, y: top, width: width * by, height: height * by});
      const label = svg("text", {x: Math.max(left, text * .1), y: Math.max(top - text * .3, text),
        "font-size": text}, slot + 1);
      box.style.stroke = label.style.fill = colour(slot);
      return [label, box];
    }).reverse());
  }
}

/* Red, green and blue of full ink. */
function ink() {
  const plain = model.dark ? "#000000" : "#ffffff";
  const chosen = model.channels === 1 ? plain : at("colour").value;
  return [1, 3, 5].map(start => parseInt(chosen.slice(start, start + 2), 16));
}

function place(event) {
  const {left, top, width, height} = drawing.getBoundingClientRect();
  return [(event.clientX - left) / width * model.width,
          (event.clientY - top) / height * model.height];
}

drawing.addEventListener("pointerdown", event => {
  if (!model || holder !== null || event.button !== 0) return;
  event.preventDefault();
  drawing.focus({preventScroll: true, focusVisible: false});
  holder = event.pointerId;
  clearTimeout(resting);
  resting = 0;
  drawing.setPointerCapture(holder);
  add({lines: [[place(event)]], colour: ink()});
});
drawing.addEventListener("pointermove", event => {
  if (event.pointerId !== holder) return;
  const parts = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  const {lines: [line], colour} = items.at(-1);
  const longer = [...line, ...(parts.length ? parts : [event]).map(place)];
  draw([...items.slice(0, -1), {lines: [longer], colour}]);
  ask("/see");
});
for (const name of ["pointerup", "pointercancel"])
  drawing.addEventListener(name, event => {
    if (event.pointerId !== holder) return;
    holder = null;
    judge();
    if (!busy && model.looks > 1) rest();  // what is under way shows the last of the line
  });

/* Put one more item on the canvas, in the place of the examples. */
function add(item) {
  change([...items.filter(other => !other.example), item]);
  ask("/see");
}

/* Keys: a digit is placed at the dashed square, which arrows move with what they placed. */
const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
drawing.addEventListener("keydown", event => {
  if (!model || holder !== null || event.ctrlKey || event.metaKey || event.altKey) return;
  const shapes = model.what === "digit" ? DIGITS : SHAPES;
  if (event.key in ARROWS) move(...ARROWS[event.key].map(by => by * model.ink / (event.shiftKey ? 2 : 8)));
  else if (/^[0-9]$/.test(event.key)) {
    add(placed(event.key % shapes.length, spot, ink()));
    hold(items.length - 1);
  } else if (event.key === "Enter") hold(held === null ? nearest() : null);
  else if (event.key === "Backspace" || event.key === "u" || event.key === "U") undo();
  else return;
  event.preventDefault();
});
document.addEventListener("keydown", event => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
});

function move(dx, dy) {
  const inside = (value, most) => Math.min(most, Math.max(0, value));
  const to = [inside(spot[0] + dx, model.width), inside(spot[1] + dy, model.height)];
  if (held !== null) {
    const others = [...items];
    others[held] = moved(items[held], to[0] - spot[0], to[1] - spot[1]);
    draw(others);
    ask("/see");
  }
  stand(to);
}

/* Take up an item, or let go with null. */
function hold(index) {
  held = index;
  if (held !== null) stand(middle(extent(items[held].lines)));
  at("hint").classList.toggle("held", held !== null);
}

function let_go() {
  hold(null);
}

/* The place of the item nearest to the dashed square; null where there is none. */
function nearest() {
  const far = item => Math.hypot(...middle(extent(item.lines)).map((value, i) => value - spot[i]));
  const found = items.filter(item => item.lines).sort((one, other) => far(one) - far(other));
  return found.length ? items.indexOf(found[0]) : null;
}

/* Move the dashed square. */
function stand(to) {
  spot = to;
  const side = model.ink, [x, y] = to.map(value => value - side / 2);
  at("hint").firstChild.replaceChildren(svg("rect", {x, y, width: side, height: side}));
}

at("random").addEventListener("click", () => ask("/random"));
at("sample").addEventListener("click", () => ask("/sample"));
at("undo").addEventListener("click", undo);
at("clear").addEventListener("click", () => { if (items.length) change([]); ask("/see"); });
at("fit").addEventListener("click", () => { fits = !fits; draw(items); ask("/see"); });

/* What the page begins with. */
function examples() {
  const places = [[.3, .28], [.7, .6]], names = model.what === "digit" ? [3, 7] : [1, 2];
  return places.slice(0, model.slots).map(([x, y], i) => (
    {...placed(names[i], [x * model.width, y * model.height], ink()), example: true}));
}

function lay(facts) {
  model = facts;
  for (const canvas of [drawing, scaled]) {
    canvas.width = scale() * model.width;
    canvas.height = scale() * model.height;
  }
  document.body.style.setProperty("--shape", model.width / model.height);
  for (const svg of document.querySelectorAll(".paper svg"))
    svg.setAttribute("viewBox", `0 0 ${model.width} ${model.height}`);
  for (let n = 0; n <= model.slots; n++)
    at("posterior").append(make("li", "", make("span", "", String(n)),
      make("div", "track", make("div", "bar")), make("span", "share")));
  for (let slot = 0; slot < model.slots; slot++)
    at("slots").append(make("li", "off",
      make("div", "window", make("canvas", "grain")), make("small")));
  for (const word of document.querySelectorAll(".what")) word.textContent = model.what;
  at("one").textContent = model.what === "digit" ? "a digit" : "an object";
  drawing.setAttribute("aria-label",
    `Canvas: draw ${model.what}s with mouse, pen or finger, or place them by keys`);
  at("random").hidden = !model.random;
  at("looks").hidden = model.looks === 1;
  at("colour").hidden = model.channels === 1;
  document.body.classList.toggle("as-is", model.channels > 1 || model.dark);
  document.body.classList.toggle("dark", model.dark);
  stand([.25 * model.width, .72 * model.height]);
  draw(examples());
  ask("/see");
}

fetch("/model").then(answer => answer.json()).then(lay).catch(fail);
