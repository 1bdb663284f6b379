/** Names of IP protocols, as conntrack and the command line have them. */
import * as ipv4 from './stack/wire/ipv4.js'

const NAMES: Readonly<Record<string, number>> = {
  tcp: ipv4.PROTOCOL_TCP,
  udp: ipv4.PROTOCOL_UDP,
  icmp: ipv4.PROTOCOL_ICMP,
  udplite: ipv4.PROTOCOL_UDPLITE,
  sctp: ipv4.PROTOCOL_SCTP,
  gre: ipv4.PROTOCOL_GRE,
  esp: ipv4.PROTOCOL_ESP,
  ah: ipv4.PROTOCOL_AH,
}

/** Names that {@link parseProtocol} takes. */
export const PROTOCOL_NAMES: readonly string[] = Object.keys(NAMES)

/** The number of a protocol by its name or number (0 to 255); null when the text is neither. */
export const parseProtocol = (text: string): number | null => {
  const word = text.toLowerCase()
  if (Object.hasOwn(NAMES, word)) return NAMES[word]!
  return /^\d{1,3}$/.test(text) && Number(text) <= 255 ? Number(text) : null
}

/** The name of a protocol, or its number as text. */
export const protocolName = (protocol: number): string => PROTOCOL_NAMES.find((name) => NAMES[name] === protocol) ?? String(protocol)

/** Protocols that conntrack has a name for; others it calls `unknown`. */
const CONNTRACK_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  ['tcp', 'udp', 'icmp', 'udplite', 'sctp', 'gre'].map((name) => [NAMES[name]!, name]),
)

/** The name that conntrack prints. */
export const conntrackName = (protocol: number): string => CONNTRACK_NAMES[protocol] ?? 'unknown'
