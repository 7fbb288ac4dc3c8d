"use strict";
/* What is drawn: a list of items, which never change; another list replaces it.

   An item is {lines, colour}, lines of points [x, y] in pixels of the model's canvas, or {picture,
   truth}, a canvas of the data or of the model. Those that the page begins with are examples. */
const RINGS = 8;  // lines that make one soft line
const CORE = .35, RIM = 1.85;  // radii of full ink and of any, in pixels of MNIST
const STANDS_ALONE = .6;  // share of an object's size from which on a stroke may be one

function arc(x, y, across, down, from, to) {
  return Array.from({length: 17}, (_, i) => (from + (to - from) * i / 16) * Math.PI / 180)
    .map(angle => [x + across * Math.cos(angle), y + down * Math.sin(angle)]);
}

function heart() {
  return Array.from({length: 33}, (_, i) => i * Math.PI / 16).map(t => [.5 + .5 * Math.sin(t) ** 3,
    .45 - (13 * Math.cos(t) - 5 * Math.cos(2 * t) - 2 * Math.cos(3 * t) - Math.cos(4 * t)) / 32]);
}

/* Lines of each digit in a square of side 1. */
const DIGITS = [
  [arc(.5, .5, .31, .5, -90, 270)],
  [[[.54, 0], [.46, 1]]],
  [[...arc(.5, .29, .31, .29, 190, 390), [.17, 1], [.86, .97]]],
  [[...arc(.45, .25, .3, .25, 210, 450), ...arc(.45, .74, .35, .26, -90, 150)]],
  [[[.6, 0], [.14, .66], [.9, .62]], [[.68, .36], [.62, 1]]],
  [[[.82, .02], [.32, 0], [.27, .44], ...arc(.46, .69, .34, .31, -115, 150)]],
  [[[.68, 0], [.4, .3], ...arc(.51, .71, .29, .29, 200, -160)]],
  [[[.16, .03], [.84, 0], [.55, .45], [.42, 1]]],
  [[...arc(.5, .25, .25, .25, 90, -270), ...arc(.5, .76, .31, .25, -90, 270)]],
  [[...arc(.49, .28, .28, .28, 0, -360), [.74, .55], [.62, 1]]],
];
/* The same of objects, in a circle of diameter 1. */
const SHAPES = [
  [arc(.5, .5, .5, .5, 45, 405).filter((_, i) => i % 4 === 0)],
  [arc(.5, .5, .5, .3, 0, 360)],
  [heart()],
];

const isEmpty = items => items.every(item => item.example);
const hasPicture = items => items.some(item => item.picture);

function moved(item, dx, dy) {
  return {...item, lines: item.lines.map(line => line.map(([x, y]) => [x + dx, y + dy]))};
}

/* A digit or a shape of the model's size, its middle at [x, y]. */
function placed(name, [x, y], colour) {
  const lines = (model.what === "digit" ? DIGITS : SHAPES)[name], side = model.ink - 2 * radius();
  return {colour, lines: lines.map(line => line.map(
    ([u, v]) => [x + (u - .5) * side, y + (v - .5) * side]))};
}

/* Where the ink of lines reaches: [left, top, right, bottom]. */
function extent(lines) {
  const x = lines.flat().map(point => point[0]), y = lines.flat().map(point => point[1]), r = radius();
  return [Math.min(...x) - r, Math.min(...y) - r, Math.max(...x) + r, Math.max(...y) + r];
}

/* The size of an object of these lines, as the data have it: the longer side of a digit's ink, or
   the diameter of an object. */
function sizeOf(lines) {
  const [left, top, right, bottom] = extent(lines), points = lines.flat();
  if (model.what === "digit") return Math.max(right - left, bottom - top);
  return 2 * radius() + Math.max(...points.map(([x, y]) =>
    Math.max(...points.map(([u, v]) => Math.hypot(x - u, y - v)))));
}

const middle = ([left, top, right, bottom]) => [(left + right) / 2, (top + bottom) / 2];

/* Half the width of a line, at half its ink. */
const radius = () => (CORE + RIM) / 2 * model.digit / 28;

/* The objects drawn, {size, box}: strokes that touch are one, unless each may be one itself. */
function objects(items) {
  const groups = [];
  for (const line of items.flatMap(item => item.lines || [])) {
    const touching = groups.filter(group => group.some(other => touch(line, other)));
    for (const group of touching) groups.splice(groups.indexOf(group), 1);
    groups.push([line, ...touching.flat()]);
  }
  const object = lines => ({size: sizeOf(lines), box: extent(lines)});
  return groups.flatMap(group => {
    const alone = group.map(line => object([line]));
    return alone.every(each => each.size >= STANDS_ALONE * model.ink) ? alone : [object(group)];
  });
}

const overlap = (a, b) => a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3];

/* Whether a small object may be part of a larger one, as the bar of a 5. */
function isPart(object, all) {
  return all.some(other => other.size > object.size && overlap(other.box, object.box));
}

function touch(one, other) {
  if (!overlap(extent([one]), extent([other]))) return false;
  const pen = at("drawing").getContext("2d");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.lineWidth = 4 * radius();
  return [[one, other], [other, one]].some(([line, points]) => {
    const drawn = path(line);
    return points.some(([x, y]) => pen.isPointInStroke(drawn, x, y));
  });
}

function path(line) {
  const made = new Path2D();
  line.forEach(([x, y], i) => i ? made.lineTo(x, y) : made.moveTo(x, y));
  if (line.length === 1) made.lineTo(...line[0]);
  return made;
}

/* A point of the canvas, moved away from the middle by a factor. */
function zoomed([x, y], by) {
  return [model.width / 2 + by * (x - model.width / 2),
          model.height / 2 + by * (y - model.height / 2)];
}

/* Draw items on a canvas, scaled by zoom about the middle. */
function render(items, canvas, zoom) {
  const brush = canvas.getContext("2d", {willReadFrequently: true});
  brush.setTransform(scale(), 0, 0, scale(), 0, 0);
  brush.globalCompositeOperation = "source-over";
  brush.fillStyle = model.dark ? "#fff" : "#000";
  brush.fillRect(0, 0, model.width, model.height);
  for (const {picture, lines, colour} of items)
    if (picture) {
      brush.globalCompositeOperation = "source-over";
      brush.imageSmoothingEnabled = false;
      brush.drawImage(picture, 0, 0, model.width, model.height);
    } else for (const line of lines) soft(brush, line.map(point => zoomed(point, zoom)), colour);
}

/* A soft line, as wide as the strokes of written digits: full ink in the middle, none at the rim.
   "lighten" keeps the greater of two levels, so that lines do not add up where they meet. Objects
   are solid: what a line encloses is full. */
function soft(brush, line, colour) {
  const drawn = path(line), solid = model.what !== "digit";
  brush.globalCompositeOperation = model.dark ? "darken" : "lighten";
  brush.lineCap = brush.lineJoin = "round";
  for (let ring = 1; ring <= RINGS; ring++) {
    const level = (1 - Math.cos(Math.PI * ring / RINGS)) / 2, paper = model.dark ? 255 : 0;
    const ink = colour.map(full => Math.round(paper + (full - paper) * level));
    brush.lineWidth = 2 * (RIM - (RIM - CORE) * (ring - 1) / (RINGS - 1)) * model.digit / 28;
    brush.strokeStyle = brush.fillStyle = `rgb(${ink.join(" ")})`;
    brush.stroke(drawn);
    if (solid && ring === RINGS) brush.fill(drawn);
  }
}

/* Pixels of the drawing for one of the model's canvas. */
const scale = () => Math.max(1, Math.min(8, Math.floor(1024 / Math.max(model.width, model.height))));

/* Return a drawing at the model's size: each pixel is the mean of scale x scale. */
function levels(canvas) {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const {width, height, channels: many} = model, sums = new Uint32Array(width * height * many);
  for (let y = 0, i = 0, by = scale(); y < canvas.height; y++)
    for (let x = 0, row = Math.floor(y / by) * width; x < width; x++)
      for (let sub = 0; sub < by; sub++, i += 4)
        for (let c = 0; c < many; c++) sums[many * (row + x) + c] += data[i + c];
  return Uint8Array.from(sums, sum => Math.round(sum / scale() ** 2));
}
