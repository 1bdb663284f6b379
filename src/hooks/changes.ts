/** Changes that rules make to a packet's header, in place, checksums included. */
import type { Packet } from '../stack/parse.js'
import * as checksum from '../stack/wire/checksum.js'
import * as ipv4 from '../stack/wire/ipv4.js'

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
