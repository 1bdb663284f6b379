/** Names of protocols and of services (ports). */
import { readFileSync } from 'node:fs'

/** IANA's numbers by the names of Debian's /etc/protocols; the first name of a number is the one that is printed. */
const PROTOCOLS: readonly (readonly [string, number])[] = [
  ['all', 0], ['ip', 0], ['icmp', 1], ['igmp', 2], ['ggp', 3], ['ipencap', 4], ['st', 5], ['tcp', 6], ['egp', 8], ['igp', 9], ['pup', 12],
  ['udp', 17], ['hmp', 20], ['xns-idp', 22], ['rdp', 27], ['iso-tp4', 29], ['dccp', 33], ['xtp', 36], ['ddp', 37], ['idpr-cmtp', 38],
  ['ipv6', 41], ['ipv6-route', 43], ['ipv6-frag', 44], ['idrp', 45], ['rsvp', 46], ['gre', 47], ['esp', 50], ['ah', 51], ['skip', 57],
  ['ipv6-icmp', 58], ['icmpv6', 58], ['icmp6', 58], ['ipv6-nonxt', 59], ['ipv6-opts', 60], ['rspf', 73], ['vmtp', 81], ['eigrp', 88],
  ['ospf', 89], ['ax.25', 93], ['ipip', 94], ['etherip', 97], ['encap', 98], ['pim', 103], ['ipcomp', 108], ['vrrp', 112], ['l2tp', 115],
  ['isis', 124], ['sctp', 132], ['fc', 133], ['mobility-header', 135], ['udplite', 136], ['mpls-in-ip', 137], ['manet', 138],
  ['shim6', 139], ['wesp', 140], ['rohc', 141], ['ethernet', 143],
]
const NUMBER_OF = new Map(PROTOCOLS)
const NAME_OF = new Map([...PROTOCOLS].reverse().map(([name, number]) => [number, name]))

export const PROTOCOL_NAMES: readonly string[] = PROTOCOLS.map(([name]) => name)

/** @param name in any case; undefined when it is no name of a protocol */
export const protocolNumber = (name: string): number | undefined => NUMBER_OF.get(name.toLowerCase())

export const protocolName = (number: number): string => NAME_OF.get(number) ?? String(number)

interface Services {
  readonly portOf: ReadonlyMap<string, number>
  /** By "port/protocol". */
  readonly nameOf: ReadonlyMap<string, string>
}

let services: Services | undefined

/** Port by name and name by port, from the text of an /etc/services. */
export const parseServices = (text: string): Services => {
  const portOf = new Map<string, number>()
  const nameOf = new Map<string, string>()
  for (const line of text.split('\n')) {
    const [name, portAndProtocol, ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/)
    const match = /^(\d{1,5})\/(\w+)$/.exec(portAndProtocol ?? '')
    if (match === null || name === undefined) continue
    const port = Number(match[1])
    if (port > 65535) continue
    for (const each of [name, ...aliases]) if (!portOf.has(each)) portOf.set(each, port)
    const key = `${port}/${match[2]!}`
    if (!nameOf.has(key)) nameOf.set(key, name)
  }
  return { portOf, nameOf }
}

/** What everybody writes by name, for systems without /etc/services. */
const COMMON_SERVICES = [
  'tcpmux 1', 'echo 7', 'discard 9', 'systat 11', 'daytime 13', 'netstat 15', 'ftp-data 20', 'ftp 21', 'ssh 22', 'telnet 23', 'smtp 25',
  'time 37', 'whois 43', 'domain 53', 'bootps 67', 'bootpc 68', 'tftp 69', 'finger 79', 'http 80', 'kerberos 88', 'pop3 110', 'sunrpc 111',
  'nntp 119', 'ntp 123', 'imap2 143', 'snmp 161', 'snmp-trap 162', 'bgp 179', 'ldap 389', 'https 443', 'microsoft-ds 445',
  'submissions 465', 'isakmp 500', 'syslog 514', 'submission 587', 'ldaps 636', 'domain-s 853', 'imaps 993', 'pop3s 995', 'socks 1080',
  'openvpn 1194', 'mysql 3306', 'ms-wbt-server 3389', 'ipsec-nat-t 4500', 'sip 5060', 'xmpp-client 5222', 'mdns 5353', 'postgresql 5432',
  'redis 6379', 'http-alt 8080',
].flatMap((line) => ['tcp', 'udp'].map((protocol) => `${line}/${protocol}`)).join('\n')

/** /etc/services, read once. */
const known = (): Services => {
  if (services !== undefined) return services
  let text = COMMON_SERVICES
  try {
    text = readFileSync('/etc/services', 'utf8')
  } catch {
    // Small systems have no such file.
  }
  services = parseServices(text)
  return services
}

export const servicePort = (name: string): number | undefined => known().portOf.get(name)
export const serviceNames = (): string[] => [...known().portOf.keys()]

/** @param protocol `tcp` or `udp` */
export const serviceName = (port: number, protocol: string): string => known().nameOf.get(`${port}/${protocol}`) ?? String(port)
