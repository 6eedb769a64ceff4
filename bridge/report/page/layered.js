"use strict";
// A layered drawing: boxes in ranks from top to bottom, edges downwards, few crossings.

const RANK_GAP = 34;
const BOX_GAP = 16;
const SWEEPS = 6;

// `sizes`: [width, height] of each item, in execution order. `edges`: [from, to] by index.
// `tops` and `bottoms`: how many of the first items belong on top, and of the last at the bottom.
// Gives the centre of each item, its passage (straight down through its rank), a route of points per edge between
// their items, and the whole size.
function layered(sizes, edges, tops = 0, bottoms = 0) {
  const downwards = edges.map(([a, b]) => (a < b ? [a, b] : [b, a]));
  const ranks = ranksOf(sizes.length, downwards, tops, bottoms);
  const places = sizes.map(([width, height], item) => ({ width, height, rank: ranks[item], before: [], after: [] }));
  const chains = downwards.map(([a, b]) => chain(places, a, b));
  const rows = rowsOf(places);
  for (let sweep = 0; sweep < SWEEPS; sweep++) sortRows(rows, places, sweep % 2 === 0);
  const height = placeRows(rows, places);
  const left = Math.min(...places.map((p) => p.x - p.width / 2), Infinity);
  const right = Math.max(...places.map((p) => p.x + p.width / 2), -Infinity);
  for (const place of places) place.x -= left;
  const routes = chains.map((inner, index) => {
    const points = inner.flatMap((item) => straight(places[item]));
    return edges[index][0] < edges[index][1] ? points : points.reverse();
  });
  return {
    centres: sizes.map((_, item) => [places[item].x, places[item].y]),
    passages: sizes.map((_, item) => straight(places[item])),
    routes,
    width: places.length ? right - left : 0,
    height,
  };
}

// The longest path to each item; an item without a predecessor stands just above its first reader.
function ranksOf(count, edges, tops, bottoms) {
  const ranks = new Array(count).fill(0);
  const nearest = new Array(count).fill(Infinity);
  const entered = new Array(count).fill(false);
  const sorted = [...edges].sort((a, b) => a[0] - b[0]);
  for (const [a, b] of sorted) {
    ranks[b] = Math.max(ranks[b], ranks[a] + 1);
    entered[b] = true;
  }
  for (const [a, b] of sorted) nearest[a] = Math.min(nearest[a], ranks[b]);
  const placed = ranks.map((rank, item) =>
    item < tops || entered[item] || nearest[item] === Infinity ? rank : nearest[item] - 1,
  );
  return placed.map((rank, item) => (item < count - bottoms ? rank : Math.max(...placed)));
}

// Places for an edge in the ranks that it passes; gives them.
function chain(places, from, to) {
  const inner = [];
  let last = from;
  for (let rank = places[from].rank + 1; rank < places[to].rank; rank++) {
    places.push({ width: 6, height: 0, rank, before: [], after: [] });
    inner.push(places.length - 1);
    join(places, last, places.length - 1);
    last = places.length - 1;
  }
  join(places, last, to);
  return inner;
}

function join(places, from, to) {
  places[from].after.push(to);
  places[to].before.push(from);
}

function rowsOf(places) {
  const rows = [];
  places.forEach((place, item) => {
    (rows[place.rank] ||= []).push(item);
  });
  const filled = Array.from(rows, (row) => row || []);
  for (const row of filled) numberRow(row, places);
  return filled;
}

function numberRow(row, places) {
  row.forEach((item, order) => {
    places[item].order = order;
  });
}

// Sorts each row by the mean place of the neighbours in the row before it, or after it.
function sortRows(rows, places, down) {
  const order = down ? rows : [...rows].reverse();
  for (const row of order) {
    const keys = new Map(
      row.map((item) => {
        const near = down ? places[item].before : places[item].after;
        return [item, near.length ? mean(near.map((other) => places[other].order)) : places[item].order];
      }),
    );
    row.sort((a, b) => keys.get(a) - keys.get(b) || places[a].order - places[b].order);
    numberRow(row, places);
  }
}

function placeRows(rows, places) {
  let y = 0;
  for (const row of rows) {
    const height = Math.max(0, ...row.map((item) => places[item].height));
    for (const item of row) Object.assign(places[item], { y: y + height / 2, top: y, bottom: y + height });
    y += height + RANK_GAP;
    const wanted = row.map(() => 0);
    settle(row, places, wanted);
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const wanted = row.map((item) => {
        const near = sweep % 2 ? places[item].after : places[item].before;
        return near.length ? pulled(near.map((other) => places[other])) : places[item].x;
      });
      settle(row, places, wanted);
    }
  }
  return Math.max(0, y - RANK_GAP);
}

// The places nearest to those wanted, in this order and apart: squares of distances are least.
function settle(row, places, wanted) {
  const offsets = [];
  let offset = 0;
  row.forEach((item, index) => {
    if (index) offset += (places[row[index - 1]].width + places[item].width) / 2 + BOX_GAP;
    offsets.push(offset);
  });
  const blocks = [];
  wanted.forEach((want, index) => {
    let block = { sum: want - offsets[index], count: 1 };
    while (blocks.length && blocks.at(-1).sum / blocks.at(-1).count >= block.sum / block.count) {
      const last = blocks.pop();
      block = { sum: last.sum + block.sum, count: last.count + block.count };
    }
    blocks.push(block);
  });
  let index = 0;
  for (const block of blocks) {
    for (let n = 0; n < block.count; n++, index++) places[row[index]].x = block.sum / block.count + offsets[index];
  }
}

// An edge crosses a rank straight down, beside the boxes of the rank.
function straight({ x, top, bottom }) {
  return [[x, top], [x, bottom]];
}

// Wide boxes pull more than edges that pass by, so that a chain of boxes is straight.
function pulled(places) {
  const weight = places.reduce((sum, place) => sum + place.width, 0);
  return places.reduce((sum, place) => sum + place.x * place.width, 0) / weight;
}

function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}
