import t from 'tap'
import { plotOf } from '../../bench/growth/plot.ts'

t.test('a point has its median and its size beside it, higher values are higher up', async (t) => {
  const svg = plotOf([
    { x: 1, values: [100, 120, 110] },
    { x: 1000, values: [190, 180, 185] }
  ])
  t.match(svg, />110<\/text>/)
  t.match(svg, />185<\/text>/)
  t.match(svg, />1,000<\/text>/)
  const heights = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)])
  t.equal(heights.length, 2)
  const [[leftX = 0, leftY = 0] = [], [rightX = 0, rightY = 0] = []] = heights
  t.ok(leftX < rightX && leftY > rightY)
})

t.test('everything is inside of the drawing', async (t) => {
  const svg = plotOf([
    { x: 1, values: [999] },
    { x: 1_000_000, values: [1001] }
  ])
  const numbers = [...svg.matchAll(/ (?:cx|x1|x2|x)="([\d.-]+)"/g)].map(([, x]) => Number(x))
  t.ok(numbers.length > 4)
  t.ok(numbers.every((x) => x >= 0 && x <= 640))
  const tops = [...svg.matchAll(/ (?:cy|y1|y2|y)="([\d.-]+)"/g)].map(([, y]) => Number(y))
  t.ok(tops.every((y) => y >= 0 && y <= 280))
})
