import { Counter, type Histogram, type Registry } from 'prom-client'

export interface TallyOptions<L extends string> {
  name: string
  help: string
  labelNames: readonly L[]
  registry: Registry
}

/** One series of a histogram. */
interface Series {
  labels: Record<string, string>
  /** How many fell between the bound before and this one; the last is beyond all bounds. */
  counts: number[]
  sum: number
}

/** A counter that is added to in plain numbers and read when somebody asks: prom-client hashes the labels at each addition. */
export function createCounts<L extends string>({ registry, labelNames, ...about }: TallyOptions<L>) {
  const counts = new Map<string, number>()
  const [label] = labelNames
  const counter = new Counter<string>({
    ...about,
    labelNames: [...labelNames],
    registers: [],
    collect() {
      this.reset()
      for (const [value, count] of counts) this.inc(label === undefined ? {} : { [label]: value }, count)
    }
  })
  registry.registerMetric(counter)
  return {
    /** Adds to the series with this value of its only label; the empty one where there is no label. */
    add(value: string, by: number): void {
      counts.set(value, (counts.get(value) ?? 0) + by)
    }
  }
}

/** A histogram of the same kind; `bounds` ascend. */
export function createHistogram<L extends string>(
  { registry, labelNames, name, help }: TallyOptions<L>,
  bounds: readonly number[]
) {
  const series = new Map<string, Series>()

  function open(key: string, values: string[]): Series {
    const labels = Object.fromEntries(labelNames.map((label, index) => [label, values[index] ?? '']))
    const opened = { labels, counts: [...bounds.map(() => 0), 0], sum: 0 }
    series.set(key, opened)
    return opened
  }

  // The part of a prom-client metric that its registry reads.
  const metric = {
    name,
    async get() {
      return { name, help, type: 'histogram', aggregator: 'sum', values: [...series.values()].flatMap(shown) }
    },
    reset: () => series.clear()
  }
  registry.registerMetric(metric as unknown as Histogram)

  function shown({ labels, counts, sum }: Series) {
    let count = 0
    const buckets = counts.map((inBucket, index) => {
      count += inBucket
      return { metricName: `${name}_bucket`, labels: { le: bounds[index] ?? '+Inf', ...labels }, value: count }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count }
    ]
  }

  return {
    /** Counts a number in the series whose labels have these values. */
    observe(value: number, first: string, second = '', third = ''): void {
      const key = `${first}\n${second}\n${third}`
      const found = series.get(key) ?? open(key, [first, second, third])
      let bucket = 0
      while (bucket < bounds.length && value > (bounds[bucket] ?? 0)) bucket++
      found.counts[bucket] = (found.counts[bucket] ?? 0) + 1
      found.sum += value
    }
  }
}
