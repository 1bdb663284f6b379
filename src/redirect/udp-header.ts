/**
 * The header of a datagram on its way through a SOCKS5 proxy (RFC 1928 7):
 *
 *     RSV(2) = 0   FRAG(1) = 0   ATYP(1) = 1   address(4)   port(2)   data
 *
 * Only IPv4 addresses are used; of what a proxy sends, other types of addresses and fragments are not taken.
 */
import { formatIpv4, parseIpv4 } from '../stack/wire/address.js'
import type { Endpoint } from './sockets.js'

export const UDP_HEADER = 10
const ATYP_IPV4 = 1

/** A datagram for the proxy: header and data. */
export const wrapDatagram = ({ address, port }: Endpoint, data: Uint8Array): Buffer => {
  const wrapped = Buffer.allocUnsafe(UDP_HEADER + data.length)
  wrapped.writeUInt32BE(ATYP_IPV4, 0)
  wrapped.writeInt32BE(parseIpv4(address)!, 4)
  wrapped.writeUInt16BE(port, 8)
  wrapped.set(data, UDP_HEADER)
  return wrapped
}

/** Who a datagram of the proxy's is from, or null when it is not to be taken; its data follows the header. */
export const senderOf = (wrapped: Buffer): Endpoint | null => {
  // FRAG must be 0: who does not put fragments together drops them. RSV is not looked at.
  if (wrapped.length < UDP_HEADER || wrapped.readUInt16BE(2) !== ATYP_IPV4) return null
  const port = wrapped.readUInt16BE(8)
  return port === 0 ? null : { address: formatIpv4(wrapped.readInt32BE(4)), port }
}
