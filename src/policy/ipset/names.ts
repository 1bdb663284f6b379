/** Names of protocols, ports and ICMP types in elements of `hash:ip,port`. */
import { readFileSync } from 'node:fs'

/** IANA's numbers by the names of Debian's /etc/protocols. */
const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1, igmp: 2, ggp: 3, ipencap: 4, st: 5, tcp: 6, egp: 8, igp: 9, pup: 12, udp: 17, hmp: 20, 'xns-idp': 22, rdp: 27, 'iso-tp4': 29,
  dccp: 33, xtp: 36, ddp: 37, 'idpr-cmtp': 38, ipv6: 41, 'ipv6-route': 43, 'ipv6-frag': 44, idrp: 45, rsvp: 46, gre: 47, esp: 50, ah: 51,
  skip: 57, 'ipv6-icmp': 58, 'ipv6-nonxt': 59, 'ipv6-opts': 60, rspf: 73, vmtp: 81, eigrp: 88, ospf: 89, 'ax.25': 93, ipip: 94,
  etherip: 97, encap: 98, pim: 103, ipcomp: 108, vrrp: 112, l2tp: 115, isis: 124, sctp: 132, fc: 133, 'mobility-header': 135, udplite: 136,
  'mpls-in-ip': 137, manet: 138, shim6: 139, wesp: 140, rohc: 141, ethernet: 143,
}
const PROTOCOL_OF = new Map(Object.entries(PROTOCOLS))
const NAME_OF = new Map(Object.entries(PROTOCOLS).map(([name, number]) => [number, name]))

export const ICMP = 1
/** Protocols whose elements have a port, or of ICMP a type and a code. */
const WITH_PORTS: ReadonlySet<number> = new Set([6, 17, 132, 136])

export const PROTOCOL_NAMES: readonly string[] = [...PROTOCOL_OF.keys()]
export const protocolNumber = (name: string): number | undefined => PROTOCOL_OF.get(name.toLowerCase())
export const protocolText = (number: number): string => NAME_OF.get(number) ?? String(number)
export const hasPorts = (protocol: number): boolean => WITH_PORTS.has(protocol)

/** Type and code by name; the first name of a pair is the one that is printed. */
const ICMP_NAMES: readonly (readonly [string, number, number])[] = [
  ['echo-reply', 0, 0], ['pong', 0, 0],
  ['network-unreachable', 3, 0], ['host-unreachable', 3, 1], ['protocol-unreachable', 3, 2], ['port-unreachable', 3, 3],
  ['fragmentation-needed', 3, 4], ['source-route-failed', 3, 5], ['network-unknown', 3, 6], ['host-unknown', 3, 7],
  ['network-prohibited', 3, 9], ['host-prohibited', 3, 10], ['TOS-network-unreachable', 3, 11], ['TOS-host-unreachable', 3, 12],
  ['communication-prohibited', 3, 13], ['host-precedence-violation', 3, 14], ['precedence-cutoff', 3, 15], ['source-quench', 4, 0],
  ['network-redirect', 5, 0], ['host-redirect', 5, 1], ['TOS-network-redirect', 5, 2], ['TOS-host-redirect', 5, 3],
  ['echo-request', 8, 0], ['ping', 8, 0], ['router-advertisement', 9, 0], ['router-solicitation', 10, 0],
  ['ttl-zero-during-transit', 11, 0], ['ttl-zero-during-reassembly', 11, 1], ['ip-header-bad', 12, 0], ['required-option-missing', 12, 1],
  ['timestamp-request', 13, 0], ['timestamp-reply', 14, 0], ['address-mask-request', 17, 0], ['address-mask-reply', 18, 0],
]
const ICMP_OF = new Map(ICMP_NAMES.map(([name, type, code]) => [name.toLowerCase(), (type << 8) | code]))
const ICMP_NAME_OF = new Map([...ICMP_NAMES].reverse().map(([name, type, code]) => [(type << 8) | code, name]))

export const ICMP_TYPE_NAMES: readonly string[] = ICMP_NAMES.map(([name]) => name)
/** `type << 8 | code` of a name. */
export const icmpNumber = (name: string): number | undefined => ICMP_OF.get(name.toLowerCase())
export const icmpText = (number: number): string => ICMP_NAME_OF.get(number) ?? `${number >>> 8}/${number & 0xff}`

/** Ports by `name/protocol`. */
let services: ReadonlyMap<string, number> | undefined

const readServices = (): ReadonlyMap<string, number> => {
  const found = new Map<string, number>()
  let text: string
  try {
    text = readFileSync('/etc/services', 'utf8')
  } catch {
    // Small systems have no such file: ports go by number there.
    return found
  }
  for (const line of text.split('\n')) {
    const [name, portAndProtocol, ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/)
    const match = /^(\d{1,5})\/(\w+)$/.exec(portAndProtocol ?? '')
    if (match === null || name === undefined) continue
    for (const each of [name, ...aliases]) if (!found.has(`${each}/${match[2]!}`)) found.set(`${each}/${match[2]!}`, Number(match[1]))
  }
  return found
}

/** The port of a service, by /etc/services; undefined when it is not there for this protocol. */
export const servicePort = (name: string, protocol: number): number | undefined =>
  (services ??= readServices()).get(`${name}/${protocolText(protocol)}`)
