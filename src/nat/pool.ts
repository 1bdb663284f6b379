/** The text of an address pool. */
import { isInvalidSource } from '../stack/address-class.js'
import { formatIpv4, parseIpv4, parsePrefix } from '../stack/wire/address.js'

/** Addresses of one pool at most (RFC 6888 REQ-3 asks for no small bound). */
export const POOL_MAX = 65_536

/** First and last address of `A`, `A-B` or `A/length`, unsigned; null for anything else. */
const parseItem = (text: string): readonly [first: number, last: number] | null => {
  if (text.includes('/')) {
    const prefix = parsePrefix(text)
    return prefix === null ? null : [(prefix.address & prefix.mask) >>> 0, (prefix.address | ~prefix.mask) >>> 0]
  }
  const [first = '', last = first, more] = text.split('-')
  const [from, to] = [parseIpv4(first), parseIpv4(last)]
  return from === null || to === null || more !== undefined || from >>> 0 > to >>> 0 ? null : [from >>> 0, to >>> 0]
}

/** The addresses (int32) of a list of addresses, ranges and networks, each once, in its order; null when it is none, or holds what no packet may come from. */
export const parsePool = (text: string): number[] | null => {
  const found = new Set<number>()
  for (const item of text.split(',')) {
    const range = parseItem(item)
    if (range === null || range[1] - range[0] >= POOL_MAX - found.size) return null
    for (let address = range[0]; address <= range[1]; address++) {
      if (isInvalidSource(address | 0)) return null
      found.add(address | 0)
    }
  }
  return [...found]
}

/** The text of addresses (int32), in ascending order, neighbours as ranges. */
export const formatPool = (addresses: readonly number[]): string => {
  const ranges: [first: number, last: number][] = []
  for (const address of Uint32Array.from(addresses).sort()) {
    const before = ranges.at(-1)
    if (before !== undefined && before[1] + 1 === address) before[1] = address
    else ranges.push([address, address])
  }
  return ranges.map(([first, last]) => (first === last ? formatIpv4(first) : `${formatIpv4(first)}-${formatIpv4(last)}`)).join(',')
}
