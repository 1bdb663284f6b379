/** Changes that rules make to a packet's header, in place, checksums included. */
import type { Packet } from '../stack/parse.js'
import * as checksum from '../stack/wire/checksum.js'
import * as ipv4 from '../stack/wire/ipv4.js'
import * as tcp from '../stack/wire/tcp.js'
import * as udp from '../stack/wire/udp.js'

export const TTL_MAX = 255

/** Sets DSCP and ECN. */
export const setTos = (view: DataView, at: number, tos: number): void => {
  const delta = checksum.delta16(ipv4.tos(view, at), tos)
  ipv4.setTos(view, at, tos)
  ipv4.setChecksum(view, at, checksum.update(ipv4.checksum(view, at), delta))
}

/**
 * Sets the TTL before the translator takes one off it. 256, so that 255 is left, fits no header: then the checksum is that of 256, and
 * the byte is right once the translator has written it.
 */
export const setTtl = (view: DataView, packet: Packet, ttl: number): void => {
  const { at } = packet
  const before = checksum.fold(packet.ttl << 8)
  const delta = checksum.add(~before & 0xffff, checksum.fold(ttl << 8))
  packet.ttl = ttl
  ipv4.setTtl(view, at, Math.min(ttl, TTL_MAX))
  ipv4.setChecksum(view, at, checksum.update(ipv4.checksum(view, at), delta))
}

/** Sets the source, and changes the checksums of the headers by what that changes. Not for later fragments. */
export const setSource = (view: DataView, packet: Packet, source: number): void => {
  const { at, transport, protocol } = packet
  const delta = checksum.delta32(packet.source, source)
  packet.source = source
  ipv4.setSource(view, at, source)
  ipv4.setChecksum(view, at, checksum.update(ipv4.checksum(view, at), delta))
  if (protocol === ipv4.PROTOCOL_TCP) {
    const sum = tcp.checksum(view, transport)
    tcp.setChecksum(view, transport, packet.partial ? checksum.updatePartial(sum, delta) : checksum.update(sum, delta))
  } else if (protocol === ipv4.PROTOCOL_UDP) {
    const sum = udp.checksum(view, transport)
    udp.setChecksum(view, transport, packet.partial ? checksum.updatePartial(sum, delta) : checksum.updateUdp(sum, delta))
  }
}
