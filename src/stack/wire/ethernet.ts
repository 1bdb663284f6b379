/**
 * Ethernet II header. `at` is its address; the caller has checked that 14 bytes are there.
 * A MAC address is a pair: upper 16 bits as uint16, lower 32 bits as int32.
 */

export const LENGTH = 14
export const TYPE_IPV4 = 0x0800
export const TYPE_ARP = 0x0806

export const destinationHigh = (view: DataView, at: number): number => view.getUint16(at)
export const destinationLow = (view: DataView, at: number): number => view.getInt32(at + 2)
export const sourceHigh = (view: DataView, at: number): number => view.getUint16(at + 6)
export const sourceLow = (view: DataView, at: number): number => view.getInt32(at + 8)
/** TYPE_*. */
export const type = (view: DataView, at: number): number => view.getUint16(at + 12)

export const write = (
  view: DataView,
  at: number,
  dstHigh: number,
  dstLow: number,
  srcHigh: number,
  srcLow: number,
  etherType: number,
): void => {
  view.setUint16(at, dstHigh)
  view.setInt32(at + 2, dstLow)
  view.setUint16(at + 6, srcHigh)
  view.setInt32(at + 8, srcLow)
  view.setUint16(at + 12, etherType)
}
