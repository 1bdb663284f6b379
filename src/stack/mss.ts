/**
 * Clamps the MSS option of SYN and SYN-ACK segments, only ever downwards (RFC 4459 3.2 describes the practice), so that no
 * end sends segments that the path through the gateway cannot carry.
 */
import type { Packet } from './parse.js'
import * as checksum from './wire/checksum.js'
import * as tcp from './wire/tcp.js'

const MSS_OPTION_LENGTH = 4
/** IPv4 and TCP headers without options (RFC 6691). */
export const MSS_OVERHEAD = 40

/** Lowers the MSS in `packet`, which has SYN set, to at most `mss`. A segment without the option is left as it is. */
export const clampMss = (view: DataView, packet: Packet, mss: number): void => {
  const { transport } = packet
  const headerLength = tcp.headerLength(view, transport)
  if (transport + headerLength > packet.at + packet.length) return
  const option = tcp.findOption(view, transport, headerLength, tcp.OPTION_MSS)
  if (option < 0 || view.getUint8(option + 1) !== MSS_OPTION_LENGTH) return
  const before = view.getUint16(option + 2)
  if (before <= mss) return
  view.setUint16(option + 2, mss)
  // A partial checksum covers the pseudo header only; a complete one takes the difference, swapped at an odd offset.
  if (packet.partial) return
  const delta = checksum.delta16(before, mss)
  const aligned = ((option - transport) & 1) === 0 ? delta : checksum.swap(delta)
  tcp.setChecksum(view, transport, checksum.update(tcp.checksum(view, transport), aligned))
}
