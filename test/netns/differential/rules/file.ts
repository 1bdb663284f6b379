/**
 * Generates files of iptables-save: all four tables, user chains, and rules that the packets of shots.ts meet. Every match and
 * target is there whose outcome is the same at each run: no rates that pass within minutes, no random numbers, no connlimit, where
 * the kernel forgets what is over only now and then.
 */
import { BUILT_IN_CHAINS, type HookName, TABLE_NAMES, type TableName } from '../../../../src/policy/model.js'
import type { Dice } from '../talk.js'
import { DEVICE, DNAT_POOL, INSIDE, MAPPED, MARK, NETWORKS, OUTSIDE, OWN_MARK, OWN_WAN, SERVICES, SNAT_POOL } from './world.js'

type Protocol = 'tcp' | 'udp' | 'icmp' | ''

/** Where a rule stands. Of a user chain `hooks` are those that lead to it. */
interface Place {
  readonly table: TableName
  readonly hooks: readonly HookName[]
  /** Chains that it may lead to. */
  readonly leads: readonly string[]
  readonly isUser: boolean
}

const not = (dice: Dice, percent = 12): string => (dice.chance(percent) ? '! ' : '')
const port = (dice: Dice): number => dice.pick(SERVICES)
/** Of chosen ports all or none are within. */
const portRange = (dice: Dice): string => dice.pick([`${port(dice)}`, `${port(dice)}`, '1:1023', '1024:65535', '5000:5001', '80:443'])
const host = (dice: Dice): string => dice.pick([...INSIDE, ...OUTSIDE])
const endpoint = (dice: Dice): string => (dice.chance(65) ? dice.pick(NETWORKS) : dice.chance(85) ? host(dice) : OWN_WAN)
const list = <T>(dice: Dice, make: () => T, most: number): T[] => Array.from({ length: dice.between(1, most) }, make)
const bits = (dice: Dice): string => `0x${dice.pick([1, 2, 4, 8, 0xff]).toString(16)}`
/** A test of marks that can hold. */
const markTest = (dice: Dice): string => dice.pick(['0x0/0x1', '0x1/0x1', '0x2/0x2', '0x0/0x6', '0x4/0x4', '0x8/0x8', '0x0/0xff'])
const some = (dice: Dice, names: readonly string[], most: number): string => [...new Set(list(dice, () => dice.pick(names), most))].join(',')

/** Hooks that packets from a network pass with no interface known on that side. */
const hasIn = (hooks: readonly HookName[]): boolean => hooks.every((hook) => hook !== 'OUTPUT' && hook !== 'POSTROUTING')
const hasOut = (hooks: readonly HookName[]): boolean => hooks.every((hook) => hook !== 'INPUT' && hook !== 'PREROUTING')
const STATES = ['NEW', 'ESTABLISHED', 'RELATED', 'INVALID', 'UNTRACKED']

const matchesFor = (dice: Dice, protocol: Protocol, name: () => string): (() => string)[] => {
  const every: (() => string)[] = [
    () => `-m conntrack ${not(dice)}--ctstate ${some(dice, [...STATES, 'SNAT', 'DNAT'], 3)}`,
    () => `-m conntrack --ctdir ${dice.pick(['ORIGINAL', 'REPLY'])}`,
    () => `-m conntrack ${not(dice)}--ctorigsrc ${dice.pick(NETWORKS)}`,
    () => `-m conntrack ${not(dice)}--ctorigdst ${dice.pick(NETWORKS)}`,
    () => `-m conntrack ${not(dice)}--ctreplsrc ${dice.pick(['10.0.0.0/8', '198.51.100.0/24', '192.0.2.0/24'])}`,
    () => `-m conntrack ${not(dice)}--ctstatus ${dice.pick(['SEEN_REPLY', 'CONFIRMED', 'ASSURED', 'EXPECTED', 'SEEN_REPLY,ASSURED'])}`,
    () => `-m state ${not(dice)}--state ${some(dice, STATES, 3)}`,
    () => `-m mark ${not(dice)}--mark ${markTest(dice)}`,
    () => `-m connmark ${not(dice)}--mark ${markTest(dice)}`,
    () => `-m addrtype ${not(dice)}--${dice.pick(['src', 'dst'])}-type ${dice.pick(['LOCAL', 'UNICAST', 'LOCAL,UNICAST', 'BROADCAST'])}`,
    () => `-m iprange ${not(dice)}--${dice.pick(['src', 'dst'])}-range ${dice.pick(['10.1.0.2-10.2.0.1', '198.51.100.1-198.51.100.2', '0.0.0.0-127.255.255.255'])}`,
    () => `-m limit --limit 1/hour --limit-burst ${dice.between(1, 6)}`,
    () => `-m hashlimit --hashlimit-${dice.pick(['upto', 'above'])} 1/hour --hashlimit-burst ${dice.between(1, 4)} --hashlimit-mode srcip --hashlimit-name ${name()}`,
    () => `-m statistic --mode nth --every ${dice.between(2, 4)} --packet ${dice.between(0, 1)}`,
    () => `-m comment --comment ${name()}`,
    () => `-m set ${not(dice)}--match-set ${dice.pick(['hosts src', 'hosts dst', 'nets src', 'nets dst', 'services dst,dst', 'services src,src', 'seen src'])}`,
    () => `-m time --timestart 00:00 --timestop 23:59:59`,
    () => `-m length ${not(dice)}--length ${dice.pick(['0:60', '28:100', '100:65535', '40'])}`,
    () => `-m ttl ${dice.pick(['--ttl-eq 64', '! --ttl-eq 64', '--ttl-lt 64', '--ttl-gt 63', '--ttl-gt 100'])}`,
    () => `-m tos ${not(dice)}--tos ${dice.pick(['0x10', '0x10/0x1c', '0xb8/0xfc', '0x00/0xff'])}`,
    () => `-m dscp ${not(dice)}--dscp ${dice.pick([0, 2, 10, 46])}`,
  ]
  if (protocol === 'tcp') {
    const own: (() => string)[] = [
      () => `-m tcp ${not(dice)}--${dice.pick(['dport', 'dport', 'sport'])} ${portRange(dice)}`,
      () => `-m tcp --dport ${port(dice)}`,
      () => `-m tcp ${not(dice)}--tcp-flags ${dice.pick(['FIN,SYN,RST,ACK SYN', 'SYN,ACK SYN,ACK', 'ACK ACK', 'FIN FIN', 'RST RST', 'PSH,ACK PSH,ACK'])}`,
      () => `-m tcp ${not(dice)}--tcp-option ${dice.pick([2, 3, 8])}`,
      () => `-m tcpmss ${not(dice)}--mss ${dice.pick(['1460', '1:1400', '1000:1500'])}`,
      () => `-m multiport ${not(dice)}--${dice.pick(['dports', 'sports', 'ports'])} ${list(dice, () => portRange(dice), 4).join(',')}`,
    ]
    return [...own, ...own, ...every]
  }
  if (protocol === 'udp') {
    const own = [
      () => `-m udp ${not(dice)}--${dice.pick(['dport', 'dport', 'sport'])} ${portRange(dice)}`,
      () => `-m udp --dport ${port(dice)}`,
      () => `-m multiport ${not(dice)}--${dice.pick(['dports', 'sports', 'ports'])} ${list(dice, () => portRange(dice), 4).join(',')}`,
    ]
    return [...own, ...own, ...own, ...every]
  }
  if (protocol === 'icmp') {
    const own = (): string => `-m icmp ${not(dice)}--icmp-type ${dice.pick(['8', '0', '3', '3/3', '11', 'any', '3/4'])}`
    return [own, own, own, ...every]
  }
  return every
}

const REJECTS = [
  'icmp-net-unreachable', 'icmp-host-unreachable', 'icmp-port-unreachable', 'icmp-proto-unreachable', 'icmp-net-prohibited', 'icmp-host-prohibited', 'icmp-admin-prohibited',
]

/** Targets but those of the nat table, which natRule makes. */
const target = (dice: Dice, { table, leads }: Place, protocol: Protocol): string => {
  const lead = (): string => `-${dice.pick(['j', 'j', 'g'])} ${dice.pick(leads)}`
  const choices: (readonly [number, () => string])[] = [
    [leads.length > 0 ? 16 : 0, lead],
    [6, () => '-j RETURN'],
    [5, () => '-j ACCEPT'],
    [3, () => ''],
    [3, () => `-j LOG --log-prefix ${dice.pick(['a', 'b'])}: --log-level ${dice.between(0, 7)}`],
    [2, () => '-j SET --add-set seen src'],
    [1, () => '-j SET --del-set seen src'],
    [2, () => `-j NFLOG --nflog-group ${dice.between(1, 3)}`],
  ]
  // Of other protocols answers that nobody asked for are INVALID.
  if (table === 'raw') choices.push([protocol === 'udp' ? 12 : 0, () => `-j ${dice.pick(['NOTRACK', 'CT --notrack'])}`], [1, () => '-j DROP'])
  if (table === 'filter') {
    choices.push([2, () => '-j DROP'], [4, () => `-j REJECT --reject-with ${dice.pick(REJECTS)}`], [4, () => '-j ACCEPT'])
    if (protocol === 'tcp') choices.push([4, () => '-j REJECT --reject-with tcp-reset'])
  }
  if (table === 'mangle') {
    choices.push(
      [14, () => `-j MARK --set-xmark ${bits(dice)}/${bits(dice)}`],
      [6, () => `-j CONNMARK --set-xmark ${bits(dice)}/${bits(dice)}`],
      [6, () => `-j CONNMARK --${dice.pick(['save', 'restore'])}-mark --nfmask ${bits(dice)} --ctmask ${bits(dice)}`],
      [6, () => `-j TOS --set-tos 0x${dice.pick(['10', '08', 'b8'])}/0xff`],
      [6, () => `-j DSCP --set-dscp 0x${dice.pick(['0a', '2e'])}`],
      [8, () => `-j TTL --ttl-${dice.pick(['set 64', 'set 1', 'inc 2', 'inc 200', 'dec 1', 'dec 3'])}`],
      [1, () => '-j DROP'],
    )
  }
  return dice.weighted(choices)()
}

const common = (dice: Dice, { hooks }: Place): string[] => [
  dice.chance(20) ? `${not(dice)}-s ${endpoint(dice)}` : '',
  dice.chance(20) ? `${not(dice)}-d ${endpoint(dice)}` : '',
  hasIn(hooks) && dice.chance(20) ? `${not(dice)}-i ${dice.pick([DEVICE.lan, DEVICE.wan, 'tun+', 'eth+', 'e+'])}` : '',
  hasOut(hooks) && dice.chance(20) ? `${not(dice)}-o ${dice.pick([DEVICE.lan, DEVICE.wan, 'tun+', 'eth+'])}` : '',
]

/** Of two matches of one module, iptables-nft takes one rule for another. */
const oneOfEach = (matches: readonly string[]): string[] => [...new Map(matches.map((text) => [/^-m (\S+)/.exec(text)![1], text])).values()]

const plainRule = (dice: Dice, place: Place, name: () => string): string => {
  const protocol = dice.weighted<Protocol>([[5, 'tcp'], [4, 'udp'], [2, 'icmp'], [7, '']])
  const isMss = place.table === 'mangle' && protocol === 'tcp' && !place.hooks.some((hook) => hook === 'PREROUTING' || hook === 'INPUT') && dice.chance(25)
  const matches = Array.from({ length: dice.weighted([[2, 0], [6, 1], [2, 2]]) }, () => dice.pick(matchesFor(dice, protocol, name))())
  const wanted = isMss
    ? ['-m tcp --tcp-flags SYN,RST SYN', `-j TCPMSS ${dice.pick(['--set-mss 1000', '--set-mss 1400', '--clamp-mss-to-pmtu'])}`]
    : [...oneOfEach(matches), target(dice, place, protocol)]
  return [...common(dice, place), protocol === '' ? '' : `-p ${protocol}`, ...wanted].filter(Boolean).join(' ')
}

const destinationNat = (dice: Dice): string => dice.weighted<() => string>([
  [5, () => `-d ${OWN_WAN}/32 -p tcp -m tcp --dport ${port(dice)} -j DNAT --to-destination ${dice.pick(INSIDE)}`],
  [5, () => `-d ${OWN_WAN}/32 -p udp -m udp --dport ${port(dice)} -j DNAT --to-destination ${dice.pick(INSIDE)}:${port(dice)}`],
  [3, () => `-d ${OWN_WAN}/32 -p tcp -m tcp --dport ${port(dice)} -j DNAT --to-destination ${DNAT_POOL.first}-${DNAT_POOL.last}${dice.chance(50) ? ':8080' : ''}${dice.chance(30) ? ' --persistent' : ''}`],
  [2, () => `-d ${OWN_WAN}/32 -p udp -j DNAT --to-destination ${dice.pick(INSIDE)}:41000-41003${dice.chance(40) ? ' --random' : ''}`],
  [2, () => `-d ${OWN_WAN}/32 -p tcp -m tcp --dport 5000:5001 -j DNAT --to-destination ${dice.pick(INSIDE)}:8080-8089/5000`],
  [2, () => `-d ${OWN_WAN}/32 -p icmp -j DNAT --to-destination ${dice.pick(INSIDE)}`],
  [3, () => `-d ${MAPPED}.0/24 -j NETMAP --to 10.1.0.0/24`],
  [3, () => `-i ${DEVICE.lan} -p tcp -m tcp --dport ${port(dice)} -j DNAT --to-destination ${dice.pick(OUTSIDE)}:${port(dice)}`],
  [1, () => `-i ${DEVICE.lan} -p udp -m udp --dport 53 -j DNAT --to-destination :5001`],
  [2, () => `-i ${DEVICE.lan} -p tcp -m tcp --dport ${port(dice)} -j REDIRECT --to-ports ${dice.pick(['3128', '41000-41003'])}`],
  [1, () => `-p udp -m udp --dport ${port(dice)} -j REDIRECT`],
  [1, () => `-m mark --mark ${markTest(dice)} -p tcp -j DNAT --to-destination ${dice.pick(INSIDE)}`],
])()

const randomness = (dice: Dice): string => dice.weighted([[6, ''], [1, ' --random'], [1, ' --random-fully']])

const sourceNat = (dice: Dice): string => {
  const out = dice.chance(80) ? `-o ${DEVICE.wan} ` : ''
  return dice.weighted<() => string>([
    [4, () => `-s ${dice.pick(NETWORKS)} ${out}-j SNAT --to-source ${OWN_WAN}${randomness(dice)}`],
    [4, () => `-s ${dice.pick(NETWORKS)} ${out}-j SNAT --to-source ${SNAT_POOL.first}-${SNAT_POOL.last}${dice.chance(30) ? ' --persistent' : ''}`],
    [4, () => `${out}-p ${dice.pick(['tcp', 'udp'])} -j MASQUERADE --to-ports ${dice.pick(['40000-40015', '41000-41003', '1020-1023'])}${randomness(dice)}`],
    [3, () => `${out}-p ${dice.pick(['tcp', 'udp'])} -j SNAT --to-source ${SNAT_POOL.first}-${SNAT_POOL.last}:40000-40015`],
    [3, () => `-s 10.1.0.0/24 ${out}-j NETMAP --to ${MAPPED}.0/24`],
    [3, () => `-o ${DEVICE.lan} -m conntrack --ctstate DNAT -j MASQUERADE`],
    [2, () => `${out}-m mark --mark ${markTest(dice)} -j MASQUERADE`],
    [2, () => `${out}-p tcp -m tcp --dport ${port(dice)} -j SNAT --to-source :40000-40015`],
    [1, () => `-d ${dice.pick(NETWORKS)} -j ACCEPT`],
    [1, () => `-p icmp -j ${dice.pick(['MASQUERADE', 'ACCEPT', 'RETURN'])}`],
  ])()
}

const ofMarks = (chain: HookName): string[] => ['s', 'd'].map((side) => `-A ${chain} -${side} ${MARK.remote}/32 -j ACCEPT`)

/**
 * Rules before all others. Marks go past the rest, and so does what a gateway says itself (errors, resets, answers to pings): of
 * that not all is the same.
 */
const bedRules = (table: TableName, chain: HookName): string[] => [
  ...(MARKED.has(chain) ? ofMarks(chain) : []),
  ...(table === 'mangle' && chain === 'OUTPUT' ? [`-A OUTPUT -j MARK --set-xmark ${OWN_MARK}/${OWN_MARK}`] : []),
  ...(table !== 'raw' && chain === 'POSTROUTING' ? [`-A ${chain} -m mark --mark ${OWN_MARK}/${OWN_MARK} -j ACCEPT`] : []),
]

/** Chains that marks pass. */
const MARKED = new Set<HookName>(['PREROUTING', 'FORWARD', 'POSTROUTING'])
/** Rules of each built-in chain, at most. */
const MOST: Record<TableName, number> = { raw: 4, mangle: 9, nat: 7, filter: 16 }

const tableText = (dice: Dice, table: TableName, name: () => string): string => {
  const users = Array.from({ length: table === 'raw' ? 1 : dice.between(1, 4) }, (_, index) => `${table}-${index + 1}`)
  const built = BUILT_IN_CHAINS[table]
  // User chains lead to later ones only; those of nat hold what may stand anywhere.
  const rules = (chain: string, place: Place, most: number): string[] => Array.from({ length: dice.between(0, most) }, () => `-A ${chain} ${plainRule(dice, place, name)}`.trimEnd())
  const lines = built.flatMap((chain) => {
    const place: Place = { table, hooks: [chain], leads: users, isUser: false }
    if (chain === 'OUTPUT') return bedRules(table, chain)
    if (table !== 'nat') return [...bedRules(table, chain), ...rules(chain, place, MOST[table])]
    if (chain === 'INPUT') return rules(chain, place, 2)
    const make = chain === 'PREROUTING' ? destinationNat : sourceNat
    const translating = Array.from({ length: dice.between(2, MOST.nat) }, () => (dice.chance(25) ? plainRule(dice, place, name) : make(dice)))
    const last = chain === 'POSTROUTING' && dice.chance(80) ? [`-o ${DEVICE.wan} -j MASQUERADE${randomness(dice)}`] : []
    return [...bedRules(table, chain), ...[...translating, ...last].map((rule) => `-A ${chain} ${rule}`)]
  })
  const inUsers = users.flatMap((chain, index) => rules(chain, { table, hooks: built, leads: users.slice(index + 1), isUser: true }, 6))
  const policy = (chain: HookName): string => (table === 'filter' && chain !== 'OUTPUT' && dice.chance(25) ? 'DROP' : 'ACCEPT')
  return [
    `*${table}`, ...built.map((chain) => `:${chain} ${policy(chain)} [0:0]`), ...users.map((chain) => `:${chain} - [0:0]`), ...lines, ...inUsers, 'COMMIT', '',
  ].join('\n')
}

/** A file of rules that holds no counters. */
export const rulesFrom = (dice: Dice): string => {
  let names = 0
  return TABLE_NAMES.map((table) => tableText(dice, table, () => `n${++names}`)).join('')
}

/** Whether a line of a file is a rule of the bed. */
export const isOfBed = (line: string): boolean => line.includes(`${MARK.remote}/32`) || line.includes(OWN_MARK)
