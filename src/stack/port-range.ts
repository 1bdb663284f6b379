/** First and last port, both included. */
export type PortRange = readonly [first: number, last: number]

/** The ports of ranges, one by one. */
export function* portsIn(ranges: readonly PortRange[]): Generator<number> {
  for (const [first, last] of ranges) for (let port = first; port <= last; port++) yield port
}
