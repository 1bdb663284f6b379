/**
 * The schema of the configuration: keys, ranges, defaults, meanings. What a profile decides has no default here but in
 * nat/profiles.ts. Checking is config.ts.
 */
import { z } from 'zod'
import { FORWARD, parseForward } from './forward-text.js'
import { DEPENDENCES, MAPPINGS } from './nat/behaviour.js'
import { PROFILE_NAMES } from './nat/profiles.js'
import { BINDING_LOGS, DEAD_FLOWS, OTHER_PROTOCOLS, POOLINGS, PORT_SELECTIONS, REFUSALS, RULES_MAX, TCP_STATES, UNSOLICITED_SYNS } from './nat/settings.js'
import { TIMEOUT_NAMES, type TimeoutName } from './nat/timeouts.js'
import { parsePool } from './nat/pool.js'
import { REDIRECT_PORT, REDIRECT_PROTOCOLS, REDIRECT_WAYS } from './redirect/settings.js'
import { parseUpstream } from './redirect/upstream-address.js'
import { parseIpv4, parsePrefix } from './stack/wire/address.js'
import { WANS_MAX } from './stats.js'
import { parseSyslogTarget } from './syslog-target.js'

const integer = (minimum: number, maximum: number) => {
  const error = `must be a whole number from ${minimum} to ${maximum}`
  return z.int({ error }).min(minimum, { error }).max(maximum, { error })
}
const between = (minimum: number, maximum: number) => {
  const error = `must be a number from ${minimum} to ${maximum}`
  return z.number({ error }).min(minimum, { error }).max(maximum, { error })
}
const ratio = () => between(0, 1)
const text = (pattern: RegExp, error: string) => z.string({ error }).regex(pattern, { error })
const checked = (pattern: RegExp, valid: (value: string) => boolean, error: string) => text(pattern, error).refine(valid, { error })
const flag = () => z.boolean({ error: 'must be true or false' })
const oneOf = <const T extends readonly [string, ...string[]]>(...words: T) =>
  z.enum(words, { error: `must be one of ${words.join(', ')}` })
const seconds = () => integer(1, 2_592_000)
const section = <T extends z.core.$ZodShape>(shape: T) => z.strictObject(shape, { error: 'must be a mapping of keys to values' })
const list = <T extends z.ZodType>(item: T) => z.array(item, { error: 'must be a list' }).min(1, { error: 'must not be an empty list' })

const INTERFACE_NAME = 'must be an interface name: 1 to 15 characters, no "/", ":" or space'
const interfaceName = () => checked(/^[^/\s:]{1,15}$/, (name) => name !== '.' && name !== '..', INTERFACE_NAME)
const WAN = `must be an interface name, or a list of at most ${WANS_MAX} names and mappings`
const WAN_ENTRY = 'must be an interface name, or a mapping with the key "interface"'
const NETNS = 'must be the name, path or process id of a network namespace'
const PREFIX = 'must be an IPv4 address with prefix length, such as 198.51.100.7/24'
const LAN_ADDRESS = 'must be a host address with prefix length 8 to 30, and not the first of its subnet, such as 10.77.0.2/24'
const PORTS = 'must be a list of ports and ranges from 1 to 65535, such as 512-599,36864-60999'
const PORT_LIST = /^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/
const POOL = 'must be a list of addresses, ranges and networks, such as 203.0.113.1,203.0.113.9-203.0.113.12,198.18.0.0/30'
const SYSLOG = 'must be "off", "unix:/dev/log" or another path, or "udp:HOST:PORT"'
const CIDR = /^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/

/** The kernel's end must be a host address of its subnet, and not the first one, which is tsnat's own. */
const isLanAddress = (value: string): boolean => {
  const prefix = parsePrefix(value)
  if (prefix === null || prefix.length < 8 || prefix.length > 30) return false
  const host = (prefix.address & ~prefix.mask) >>> 0
  return host > 1 && host < ~prefix.mask >>> 0
}

const isPortSet = (value: string): boolean =>
  value.split(',').every((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return first! >= 1 && first! <= last! && last! <= 65535
  })

const host = () => checked(/^[\d.]+$/, (value) => parseIpv4(value) !== null, 'must be an IPv4 address')

const wanAddress = () =>
  z.union(
    [
      z.literal('shared'),
      section({
        owned: list(checked(CIDR, (value) => parsePrefix(value) !== null, PREFIX))
          .describe('Addresses that only tsnat has. It answers ARP for them; the kernel must not have them.'),
        gateway: host().optional().describe('Next hop of all traffic; without it, the default route of the WAN interface says it.'),
      }),
    ],
    { error: 'must be "shared" or a mapping with the key "owned"' },
  )

const wanCheck = () =>
  section({
    type: oneOf('icmp', 'tcp', 'http', 'arp', 'none').describe('What is sent: a ping, a connection, a GET request, an ARP request.'),
    target: text(/^\S+$/, 'must be an address, ADDRESS:PORT or URL').optional()
      .describe('To whom: an address (icmp, arp; the gateway when absent), ADDRESS:PORT (tcp), a URL whose host is an address (http).'),
    interval: between(0.1, 86_400).default(5).describe('Seconds from the beginning of an attempt to that of the next.'),
    timeout: between(0.01, 3600).default(1.5).describe('Seconds until an attempt without answer has failed.'),
    fails: integer(1, 1000).default(3).describe('Failures in a row after which the WAN is dead.'),
    passes: integer(1, 1000).default(3).describe('Answers in a row after which it is alive again.'),
    expect: integer(100, 599).optional().describe('Status of an http answer; any from 200 to 399 when absent.'),
  })

const wanSection = () =>
  section({
    interface: interfaceName().describe('Its name.'),
    address: wanAddress().optional().describe('As wanAddress, for this WAN.'),
    gateway: host().optional().describe('Next hop of what leaves by it; without it, the default route of the interface says it.'),
    weight: integer(1, 256).optional().describe('Its share of new flows. Where one WAN has a weight, those without weight and metric have 1; without any, the first that works has all.'),
    metric: integer(0, 0xffffffff).optional().describe('Of WANs without weight, that with the lowest is used; that of the kernel, then their order, when absent.'),
    check: wanCheck().optional().describe('How it is found out whether it works, beyond the state of its interface.'),
  })

const network = () => checked(CIDR, (value) => parsePrefix(value) !== null, 'must be a network, such as 10.77.0.0/24')
const mapping = () =>
  oneOf(...MAPPINGS).optional()
    .describe('When an inside endpoint keeps its outside port; "shared": a port serves several of them as long as their remotes differ, as netfilter does.')
const filtering = () => oneOf(...DEPENDENCES).optional().describe('Who else may send to it: anybody, the addresses it has sent to, nobody.')
const selection = () => oneOf(...PORT_SELECTIONS).optional().describe('How an outside port is chosen.')

const natRule = () =>
  section({
    from: network().optional().describe('Network of the inside host.'),
    to: network().optional().describe('Network of the remote.'),
    protocol: oneOf('tcp', 'udp', 'icmp').optional().describe('Protocol; any when absent.'),
    ports: checked(PORT_LIST, isPortSet, PORTS).optional().describe('Ports of the remote.'),
    mapping: mapping(),
    filtering: filtering(),
    selection: selection(),
    flows: integer(1, 16_777_216).optional().describe('Flows of this rule at most.'),
    translate: flag().optional().describe('false: addresses and ports stay as they are (RFC 6888 REQ-6).'),
  })

const faults = () =>
  section({
    loss: ratio().default(0).describe('Probability that a packet is lost.'),
    duplicate: ratio().default(0).describe('Probability that a packet is sent twice.'),
    corrupt: ratio().default(0).describe('Probability that one bit of the payload is flipped.'),
    reorder: ratio().default(0).describe('Probability that a packet is held back behind later ones.'),
    seed: integer(0, 0xffffffff).default(1).describe('Start of the random sequence; the same seed gives the same faults.'),
  })
const faultSide = (side: string) =>
  section({
    in: faults().optional().describe(`Packets that come from the ${side}.`),
    out: faults().optional().describe(`Packets that go to the ${side}.`),
  })

const policyLines = (what: string) =>
  z.union([z.string(), section({ file: text(/^[^\0]+$/, 'must be the path of a file').describe('Path of a file with these lines.') })], {
    error: 'must be lines of text, or a mapping with the key "file"',
  }).optional().describe(`${what}: the lines themselves, or {file: PATH}. All of it is checked before anything is changed.`)

const TIMEOUTS: Record<TimeoutName | 'fragments', string> = {
  udp: 'UDP flow without answer, or younger than 2 s (RFC 4787 REQ-5: at least 120, 300 recommended).',
  udpStream: 'UDP flow with traffic both ways (the same rule).',
  icmp: 'ICMP query (RFC 5508 REQ-2: at least 60).',
  tcpSynSent: 'TCP after the first SYN (RFC 5382 REQ-5: at least 240; RFC 7857 2.1 lets it be less).',
  tcpSynRecv: 'TCP until both ends have acknowledged (the same rule).',
  tcpEstablished: 'TCP established (RFC 5382 REQ-5: at least 7440).',
  tcpFinWait: 'TCP after a FIN of one end (RFC 5382 5: established).',
  tcpCloseWait: 'TCP after a FIN of one end that was acknowledged (RFC 5382 5: established).',
  tcpLastAck: 'TCP after FINs of both ends (RFC 5382 REQ-5: at least 240).',
  tcpTimeWait: 'TCP after FINs of both ends, the last one acknowledged.',
  tcpClose: 'TCP after a RST (RFC 7857 2.2: 240).',
  tcpUnacknowledged: 'TCP with data that nobody acknowledges, where that is less than its state allows.',
  tcpMaxRetrans: 'TCP with a segment that was repeated three times, where that is less than its state allows.',
  sctp: 'SCTP association that was not answered.',
  sctpEstablished: 'SCTP association.',
  gre: 'GRE without answer.',
  greStream: 'GRE both ways.',
  generic: 'Other protocols, ESP among them.',
  fragments: 'Datagram of which not all fragments have come (RFC 791 3.2, RFC 1122 3.3.2).',
}
const timeouts = Object.fromEntries(
  ([...TIMEOUT_NAMES, 'fragments'] as const).map((name) => [name, seconds().optional().describe(TIMEOUTS[name])]),
) as Record<TimeoutName | 'fragments', z.ZodOptional<z.ZodInt>>

export const schema = section({
  name: text(/^[a-z0-9-]{1,15}$/, 'must be 1 to 15 characters out of a-z, 0-9 and "-"')
    .default('default')
    .describe('Name of this instance. Each instance has its own control socket, interfaces and tables.'),
  wan: z
    .union([interfaceName(), list(z.union([interfaceName(), wanSection()], { error: WAN_ENTRY })).max(WANS_MAX)], {
      error: ({ input }) => (typeof input === 'string' ? INTERFACE_NAME : WAN),
    })
    .describe('Interface towards the Internet, or a list of them. Addresses, routes and neighbours are followed live.'),
  wanDriver: oneOf('packet', 'raw')
    .default('packet')
    .describe('"packet": AF_PACKET socket with offloads. "raw": raw IP sockets, slower, the kernel routes; only with a shared address.'),
  wanAddress: wanAddress().optional().describe('Which addresses flows leave from; of several WANs, by the first. Default "shared".'),
  deadFlows: oneOf(...DEAD_FLOWS)
    .default('reset')
    .describe('TCP flows of a WAN that works no more: at its next packet the inside host gets a RST ("reset") or an ICMP error ("icmp"); "leave" lets them wait.'),
  ports: checked(PORT_LIST, isPortSet, PORTS)
    .optional()
    .describe(
      'External ports and ICMP ids for flows. When absent: all of them on owned addresses, on a shared one a part that the kernel is kept off.',
    ),
  lan: interfaceName().default('tun0').describe('TUN interface to create for the inside.'),
  lanAddress: checked(CIDR, isLanAddress, LAN_ADDRESS)
    .default('10.77.0.2/24')
    .describe("The kernel's end of the TUN. The first address of the subnet is tsnat's own and answers ping."),
  lanMtu: integer(576, 65535).optional().describe('MTU of the TUN in bytes. Follows the WAN when absent.'),
  capture: z
    .union(
      [
        z.literal('default'),
        z.literal('none'),
        section({
          iif: list(interfaceName()).describe('Interfaces whose arriving traffic goes into the TUN; IP forwarding is switched on.'),
        }),
      ],
      { error: 'must be "default", "none" or a mapping with the key "iif"' },
    )
    .default('default')
    .describe(
      'Which traffic enters: "default" = all that would take the default route, "none" = nothing by itself, {iif: […]} = what arrives there.',
    ),
  netns: z
    .union([text(/./, NETNS), z.int()], { error: NETNS })
    .transform(String)
    .optional()
    .describe('Network namespace (name, path or process id) that the TUN is put into; tsnat stays outside.'),
  importKernelRoutes: flag()
    .default(false)
    .describe("Follow all of the kernel's main table (types, TOS, preferred sources, MTU), not only what forwarding needs."),
  mssClamp: flag().default(true).describe('Lower the MSS of TCP SYNs to what the egress MTU carries.'),
  offload: section({
    lan: flag().default(true).describe('Checksum and segmentation offloads of the TUN.'),
    wan: flag().default(true).describe('Checksum and segmentation offloads of the packet socket.'),
  })
    .prefault({})
    .describe('What may be left to the kernel and the network card. Off: tsnat computes checksums and segments itself.'),
  profile: oneOf(...PROFILE_NAMES)
    .default('behave')
    .describe('"behave": what RFC 4787, 5382, 5508, 7857 and 6888 ask of a NAT. "linux": what the kernel\'s masquerade does. Both are sets of settings, each of which can be set alone.'),
  nat: section({
    tcp: section({
      mapping: mapping(),
      filtering: filtering(),
      states: oneOf(...TCP_STATES)
        .optional()
        .describe('"rfc": half closed until both ends have sent a FIN, data after a RST takes it back (RFC 5382, 7857). "netfilter": as the kernel\'s conntrack.'),
      window: flag().optional().describe('Watch sequence numbers: a segment out of window is dropped and changes nothing.'),
      pickup: flag().optional().describe('A segment without SYN from inside opens a flow, as for connections that are older than tsnat.'),
      unsolicitedSyn: oneOf(...UNSOLICITED_SYNS)
        .optional()
        .describe('A SYN from outside that nobody waits for: "hold" for 6 s, in case that one comes from inside (RFC 5382 REQ-4), then ICMP 3/3; or "drop".'),
    }).optional().describe('How TCP is mapped, filtered and watched (RFC 5382).'),
    udp: section({ mapping: mapping(), filtering: filtering() }).optional().describe('How UDP is mapped and filtered (RFC 4787).'),
    icmp: section({ mapping: mapping(), filtering: filtering() }).optional().describe('How ICMP queries are mapped (RFC 5508); nothing unasked for comes in.'),
    otherProtocols: oneOf(...OTHER_PROTOCOLS)
      .optional()
      .describe('Protocols other than TCP, UDP, UDP-Lite, ICMP, SCTP, GRE and ESP: refused, or translated by address, one inside host for each remote.'),
    verifyChecksums: flag().optional().describe('Drop TCP, UDP and ICMP packets whose checksum is wrong; else the receiver does.'),
    forgetWhenDown: flag().optional().describe('Flows end when the WAN interface is taken down, as those of MASQUERADE do.'),
    ports: section({
      selection: selection(),
      parity: flag().optional().describe('Even ports become even ones, odd ports odd ones (RFC 4787 REQ-4).'),
      hold: integer(0, 86_400)
        .optional()
        .describe('Seconds that an outside port of an endpoint-independent filter rests before another inside host gets it (RFC 6888 REQ-8).'),
      holdMax: integer(0, 1_048_576).optional().describe('Ports that rest at a time at most; then the one that rests longest is anybody\'s again.'),
      blockSize: integer(0, 32_768).optional().describe('Ports of a block that an inside host gets at a time; 0: ports are given one by one.'),
      blocksPerHost: integer(1, 64).optional().describe('Blocks of one inside host at most.'),
    }).optional().describe('How outside ports are chosen.'),
    pool: checked(/^[\d.,/-]+$/, (value) => parsePool(value) !== null, POOL).optional().describe('Outside addresses; the one that the route says when absent.'),
    pooling: oneOf(...POOLINGS)
      .optional()
      .describe('"paired": an inside host has one outside address; "paired-soft": another one when its own is full; "arbitrary": by host and remote.'),
    deterministic: section({
      inside: network().describe('Network of the inside hosts.'),
      reserved: integer(0, 65_000).default(1024).describe('Lowest ports, which nobody gets.'),
      dynamic: integer(0, 65_535).default(0).describe('Share for hosts that need more than their own: D of RFC 7422; 0 for none.'),
      perHost: integer(0, 65_535).default(0).describe('Ports of one host at most: M of RFC 7422; 0 for no other bound.'),
    }).optional().describe('Deterministic NAT (RFC 7422): the ports of an inside host are computed, not logged.'),
    rules: z.array(natRule(), { error: 'must be a list' }).max(RULES_MAX, { error: `must be at most ${RULES_MAX} rules` }).default([]).describe('Flows that behave otherwise; the first rule that fits counts.'),
  })
    .prefault({})
    .describe('How the NAT behaves towards the outside, in the words of RFC 4787.'),
  forwards: z
    .array(checked(FORWARD, (text) => parseForward(text) !== null, `must be such as "tcp:8080:10.77.0.2:80", "udp:5000-5010:10.77.0.2:5000@198.51.100.0/24" or "gre:10.77.0.2"`), {
      error: 'must be a list',
    })
    .default([])
    .describe('Outside ports that lead to an inside host: PROTOCOL:PORT[-PORT]:ADDRESS:PORT[@PREFIX], the prefix being who may use it; PROTOCOL:ADDRESS[@PREFIX] for ICMP echo, GRE, ESP and what else has no ports.'),
  redirect: section({
    to: checked(/^/, (value) => parseUpstream(value) !== null, 'must be such as socks5://192.0.2.1:1080, or socks5://user:password@192.0.2.1:1080')
      .describe('The SOCKS5 proxy that TCP connections and UDP datagrams of the LAN are relayed through.'),
    protocols: list(oneOf(...REDIRECT_PROTOCOLS)).default([...REDIRECT_PROTOCOLS]).describe('What is relayed.'),
    by: oneOf(...REDIRECT_WAYS).default('tproxy').describe('How it is taken: by a rule with TPROXY, or with REDIRECT.'),
    port: integer(1, 65535).default(REDIRECT_PORT).describe('Port of the listeners.'),
    exclude: z.array(checked(/^[\d./]+$/, (value) => parseIpv4(value) !== null || parsePrefix(value) !== null, 'must be an address or a prefix, such as 10.0.0.0/8'), { error: 'must be a list' })
      .default([]).describe('Destinations that are left alone. Those of the upstream and of tsnat itself always are.'),
    rules: flag().default(true).describe('Add rules that lead traffic there, in a chain of their own. false: rules of yours do.'),
  }).optional().describe('A transparent redirector to a SOCKS5 proxy, as "tsnat redirect" starts one.'),
  rules: policyLines('Rules that packets meet, as iptables-save writes them, counters included'),
  ipset: policyLines('Sets that the rules name, as "ipset save" writes them'),
  ipBatch: policyLines('Routing rules and routes, as "ip -batch" reads them'),
  timeouts: section(timeouts)
    .prefault({})
    .describe('Seconds without a packet after which a flow is forgotten.'),
  limits: section({
    flows: integer(1, 16_777_216).optional().describe('Flows at most. At the limit a new flow is refused.'),
    flowsPerSource: integer(0, 16_777_216).optional().describe('Flows of one inside address at most; 0: sixteen times what is left.'),
    newFlowsPerSource: integer(0, 1_000_000).optional().describe('New flows a second of one inside address, twice as many at once; 0 = no limit.'),
    halfOpen: integer(0, 16_777_216).optional().describe('TCP flows that are not established yet, in total; 0 = no limit.'),
    halfOpenPerSource: integer(0, 16_777_216).optional().describe('TCP flows of one inside address that are not established yet; 0 = no limit.'),
    fragmentBytes: integer(65_536, 1_073_741_824).optional().describe('Bytes at most held of fragments that wait for their first one.'),
    icmpErrorsPerSecond: integer(0, 1_000_000).optional().describe('ICMP errors of its own that tsnat sends in a second at most; 0 = none.'),
    sockets: integer(16, 1_048_576).optional().describe('Sockets of tsnat\'s own at a time, those in TIME_WAIT included.'),
    refusal: oneOf(...REFUSALS).optional().describe('What the sender of a refused packet is told: ICMP 3/1, ICMP 3/13, nothing.'),
    makeRoom: flag()
      .optional()
      .describe('In a flood of forged inside addresses, flows of addresses that never had an assured one give way to those that had, or have none yet.'),
  })
    .prefault({})
    .describe('What tsnat may use at most.'),
  fault: section({
    lan: faultSide('LAN').optional().describe('Faults on the LAN side.'),
    wan: faultSide('WAN').optional().describe('Faults on the WAN side.'),
  })
    .prefault({})
    .describe('Faults made on purpose, to test what is on top. Nothing is done when absent.'),
  log: section({
    level: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent')
      .default('info')
      .describe('Least important lines that are logged.'),
    format: oneOf('auto', 'json', 'pretty').default('auto').describe('"auto": readable on a terminal, JSON otherwise.'),
    bindings: oneOf(...BINDING_LOGS)
      .default('off')
      .describe('Lines that tell which inside endpoint has which outside endpoint, at its begin and end: of each mapping, flow or block of ports (RFC 6888 4).'),
    destinations: flag().default(false).describe('Tell in the lines of flows whom they speak to; RFC 6888 REQ-12 advises against it.'),
    syslog: checked(/^/, (value) => value === 'off' || parseSyslogTarget(value) !== null, SYSLOG)
      .default('off')
      .describe('Where the lines about bindings go instead of the log: "unix:/dev/log" or "udp:HOST:PORT" (RFC 5424).'),
    nflog: section({
      directory: checked(/^\/[^\0]*$/, () => true, 'must be an absolute path')
        .optional()
        .describe('Directory for capture files of NFLOG rules, one a group: NAME-nflog-GROUP.pcapng. When absent, NFLOG writes lines as LOG does.'),
      fileBytes: integer(65_536, 1_099_511_627_776).default(104_857_600).describe('Bytes after which a new file is begun.'),
      files: integer(1, 1000).default(10).describe('Files of a group at most; the oldest is deleted.'),
    })
      .prefault({})
      .describe('Capture files (pcapng) of the packets that NFLOG rules log.'),
  })
    .prefault({})
    .describe('Log lines on standard error.'),
  socket: checked(/^\/[^\0]+$/, (path) => Buffer.byteLength(path) <= 107, 'must be an absolute path of at most 107 bytes')
    .optional()
    .describe('Path of the control socket. /run/tsnat/NAME/control.sock when absent.'),
  busyPoll: integer(0, 1_000_000)
    .default(50)
    .describe('Microseconds that the worker looks for more packets before it sleeps; more CPU for less delay. Without effect on a machine with one processor.'),
})

/** What was given, checked key by key, but not yet over its profile. */
export type CheckedConfig = z.output<typeof schema>
