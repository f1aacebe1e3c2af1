import { median } from '../statistics.ts'

/** The values that were measured at one size. */
export interface Point {
  x: number
  values: readonly number[]
}

const WIDTH = 640
const HEIGHT = 280
const LEFT = 60
const RIGHT = 48
const TOP = 40
const BOTTOM = 50
const LINES = 4

/** A drawing of CPU against size: medians joined by a line, the range of the rounds upright, sizes by powers of ten. */
export function plotOf(points: readonly Point[]): string {
  const highest = niceAbove(Math.max(...points.flatMap(({ values }) => values)))
  const widest = Math.log10(Math.max(10, ...points.map(({ x }) => x)))
  const atX = (x: number): number => round(LEFT + (Math.log10(Math.max(1, x)) / widest) * (WIDTH - LEFT - RIGHT))
  const atY = (y: number): number => round(HEIGHT - BOTTOM - (y / highest) * (HEIGHT - TOP - BOTTOM))
  const grid = Array.from({ length: LINES + 1 }, (_, line) => (highest * line) / LINES).flatMap((value) => [
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${atY(value)}" y2="${atY(value)}" stroke="#ccc"/>`,
    text(LEFT - 8, atY(value) + 4, value.toFixed(0), 'end')
  ])
  const marks = points.flatMap(({ x, values }) => [
    `<line x1="${atX(x)}" x2="${atX(x)}" y1="${atY(Math.min(...values))}" y2="${atY(Math.max(...values))}" stroke="#06c"/>`,
    `<circle cx="${atX(x)}" cy="${atY(median(values))}" r="4" fill="#06c"/>`,
    text(atX(x), atY(Math.max(...values)) - 8, median(values).toFixed(0), 'middle'),
    text(atX(x), HEIGHT - BOTTOM + 18, x.toLocaleString('en'), 'middle')
  ])
  const path = points.map(({ x, values }) => `${atX(x)},${atY(median(values))}`).join(' ')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    text(LEFT, 20, 'CPU of a prediction, µs', 'start'),
    ...grid,
    `<polyline points="${path}" fill="none" stroke="#06c" stroke-width="2"/>`,
    ...marks,
    text(
      (LEFT + WIDTH - RIGHT) / 2,
      HEIGHT - 10,
      'ledger entries and messages; accounts and grants grow with them',
      'middle'
    ),
    '</svg>',
    ''
  ].join('\n')
}

function text(x: number, y: number, words: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="#333">${words}</text>`
}

/** The next 1, 2 or 5 with zeros. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return ([1, 2, 5].find((step) => step * power >= value) ?? 10) * power
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
