/** Static forwards as text: `tcp:8080:10.77.0.2:80`, `udp:5000-5010:10.77.0.2:6000`, with `@198.51.100.0/24` for certain senders only. */
import type { Forward } from './nat/forwards.js'
import { parseIpv4, parsePrefix } from './stack/wire/address.js'
import { PROTOCOL_TCP, PROTOCOL_UDP } from './stack/wire/ipv4.js'

/** The form of a forward; whether its numbers make sense is {@link parseForward}'s to say. */
export const FORWARD = /^(tcp|udp):(\d{1,5})(?:-(\d{1,5}))?:(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})(?:@(\d{1,3}(?:\.\d{1,3}){3}\/\d{1,2}))?$/

const isPort = (port: number): boolean => port >= 1 && port <= 65535

/** A forward, or null when the text is none. The inside ports of a range follow the first one. */
export const parseForward = (text: string): Forward | null => {
  const [, protocol, first, last = first, host, inside, from = '0.0.0.0/0'] = FORWARD.exec(text) ?? []
  if (protocol === undefined) return null
  const [firstPort, lastPort, port] = [Number(first), Number(last), Number(inside)]
  const address = parseIpv4(host!)
  const sender = parsePrefix(from)
  if (address === null || sender === null || !isPort(firstPort) || firstPort > lastPort) return null
  if (!isPort(lastPort) || !isPort(port) || !isPort(port + lastPort - firstPort)) return null
  return {
    protocol: protocol === 'tcp' ? PROTOCOL_TCP : PROTOCOL_UDP,
    external: null,
    firstPort,
    lastPort,
    address,
    port,
    from: sender.address & sender.mask,
    fromMask: sender.mask,
  }
}
