/** IPv4 options: which fragments carry them, which are not forwarded. */
import * as ipv4 from './wire/ipv4.js'

const END = 0
const NOP = 1
/** Bit of the options that every fragment carries (RFC 791 3.1). */
const COPIED = 0x80
const LOOSE_SOURCE_ROUTE = 131
const STRICT_SOURCE_ROUTE = 137

/** Bytes of the option at `option`, or 0 when it is malformed. */
const sizeOf = (view: DataView, option: number, end: number): number => {
  if (view.getUint8(option) === NOP) return 1
  const size = option + 1 < end ? view.getUint8(option + 1) : 0
  return size < 2 || option + size > end ? 0 : size
}

/** Whether the header of `headerLength` bytes at `at` has a source route. Malformed options end the search. */
export const hasSourceRoute = (view: DataView, at: number, headerLength: number): boolean => {
  const end = at + headerLength
  let option = at + ipv4.HEADER_MIN
  while (option < end) {
    const kind = view.getUint8(option)
    if (kind === LOOSE_SOURCE_ROUTE || kind === STRICT_SOURCE_ROUTE) return true
    if (kind === END) return false
    const size = sizeOf(view, option, end)
    if (size === 0) return false
    option += size
  }
  return false
}

/** Takes options without the copy bit out of the header at `at`; returns the new header length. */
export const keepCopiedOptions = (view: DataView, at: number, headerLength: number): number => {
  const end = at + headerLength
  let to = at + ipv4.HEADER_MIN
  let from = to
  while (from < end) {
    const kind = view.getUint8(from)
    const size = kind === END ? 0 : sizeOf(view, from, end)
    if (size === 0) break
    if ((kind & COPIED) !== 0) {
      for (let index = 0; index < size; index++) view.setUint8(to + index, view.getUint8(from + index))
      to += size
    }
    from += size
  }
  while (((to - at) & 3) !== 0) view.setUint8(to++, END)
  view.setUint8(at, 0x40 | ((to - at) >>> 2))
  return to - at
}
