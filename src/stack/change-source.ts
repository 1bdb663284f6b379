/** The source address of a packet that is written already, in place. */
import * as checksum from './wire/checksum.js'
import * as ipv4 from './wire/ipv4.js'
import * as tcp from './wire/tcp.js'
import * as udp from './wire/udp.js'
import * as vnet from './wire/vnet.js'

/**
 * Sets the source, and changes the checksums of IPv4, TCP and UDP by what that changes (RFC 1624); unfinished ones stay unfinished. Not for
 * later fragments.
 */
export const changeSource = (view: DataView, at: number, source: number): void => {
  const delta = checksum.delta32(ipv4.source(view, at), source)
  ipv4.setSource(view, at, source)
  ipv4.setChecksum(view, at, checksum.update(ipv4.checksum(view, at), delta))
  const protocol = ipv4.protocol(view, at)
  const isUdp = protocol === ipv4.PROTOCOL_UDP
  if (!isUdp && protocol !== ipv4.PROTOCOL_TCP) return
  const field = at + ipv4.headerLength(view, at) + (isUdp ? udp.CHECKSUM_OFFSET : tcp.CHECKSUM_OFFSET)
  const before = view.getUint16(field)
  const isPartial = (vnet.flags(view, at - vnet.LENGTH) & vnet.F_NEEDS_CSUM) !== 0
  view.setUint16(field, isPartial ? checksum.updatePartial(before, delta) : isUdp ? checksum.updateUdp(before, delta) : checksum.update(before, delta))
}
