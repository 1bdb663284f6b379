/**
 * Static forwards as text: `tcp:8080:10.77.0.2:80`, `udp:5000-5010:10.77.0.2:6000`, `gre:10.77.0.2` for what has no ports, with
 * `@198.51.100.0/24` for certain senders only.
 */
import type { Forward } from './nat/forwards.js'
import { parseProtocol } from './protocol-names.js'
import { hasPorts } from './stack/parse.js'
import { parseIpv4, parsePrefix } from './stack/wire/address.js'
import { ECHO_REQUEST } from './stack/wire/icmp4.js'
import { PROTOCOL_AH, PROTOCOL_ICMP } from './stack/wire/ipv4.js'

/** The form of a forward; whether its numbers make sense is {@link parseForward}'s to say. */
export const FORWARD =
  /^(?:(tcp|udp|udplite|sctp):(\d{1,5})(?:-(\d{1,5}))?:(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})|(icmp|gre|esp|\d{1,3}):(\d{1,3}(?:\.\d{1,3}){3}))(?:@(\d{1,3}(?:\.\d{1,3}){3}\/\d{1,2}))?$/

const isPort = (port: number): boolean => port >= 1 && port <= 65535

/** The protocol of a forward without ports. AH authenticates the addresses, so that nobody can forward it. */
const portless = (text: string): number | null => {
  const protocol = parseProtocol(text)
  return protocol === null || hasPorts(protocol) || protocol === PROTOCOL_AH ? null : protocol
}

/** A forward, or null when the text is none. The inside ports of a range follow the first one. */
export const parseForward = (text: string): Forward | null => {
  const match = FORWARD.exec(text)
  if (match === null) return null
  const [, ported, first, last = first, host, inside, whole, wholeHost, from = '0.0.0.0/0'] = match
  const address = parseIpv4(host ?? wholeHost!)
  const sender = parsePrefix(from)
  if (address === null || sender === null) return null
  const common = { external: null, address, from: sender.address & sender.mask, fromMask: sender.mask }
  if (whole !== undefined) {
    const protocol = portless(whole)
    if (protocol === null) return null
    const port = protocol === PROTOCOL_ICMP ? ECHO_REQUEST : 0
    return { ...common, protocol, firstPort: port, lastPort: port, port }
  }
  const [firstPort, lastPort, port] = [Number(first), Number(last), Number(inside)]
  if (!isPort(firstPort) || firstPort > lastPort || !isPort(lastPort) || !isPort(port) || !isPort(port + lastPort - firstPort)) return null
  return { ...common, protocol: parseProtocol(ported!)!, firstPort, lastPort, port }
}
