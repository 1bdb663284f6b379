/** Makes rules that are right, of every match and target, each where it may stand, as the text of a file. */
import { TABLE_NAMES, type TableName } from '../../../src/policy/model.js'
import { quote } from '../../../src/policy/iptables/words.js'
import type { Random } from '../../fuzz/generate.js'

const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)]!
const some = <T>(random: Random, list: readonly T[], max: number): T[] => {
  const chosen = list.filter(() => random(3) === 0).slice(0, max)
  return chosen.length > 0 ? chosen : [pick(random, list)]
}

const number = (random: Random, max: number): number => pick(random, [0, 1, max, random(max + 1), random(Math.min(max, 300) + 1)])
const below = (random: Random, max: number): number => 1 + number(random, max - 1)
const range = (random: Random, max: number, separator: string): string => {
  const [a, b] = [number(random, max), number(random, max)].sort((x, y) => x - y)
  // iptables-save forgets an inverted test that nothing meets.
  return random(2) === 0 || (a === 0 && b === max) ? String(a) : `${a}${separator}${b}`
}
const u32 = (random: Random): number => pick(random, [0, 1, 0xff, 0xffffffff, (random(65536) << 16 | random(65536)) >>> 0])
const hex = (random: Random): string => (random(2) === 0 ? `0x${u32(random).toString(16)}` : String(u32(random)))
const masked = (random: Random): string => (random(2) === 0 ? hex(random) : `${hex(random)}/${hex(random)}`)
const address = (random: Random): string => [0, 0, 0, 0].map(() => number(random, 255)).join('.')
/** Never 0.0.0.0/0: iptables-nft does not take its opposite. */
const network = (random: Random): string =>
  `${address(random)}${pick(random, ['', `/${1 + random(32)}`, `/${random(256)}.0.0.1`])}`
/** iptables-save loses masks with holes in conntrack's addresses. */
const prefix = (random: Random): string => `${address(random)}/${random(33)}`
const addressRange = (random: Random): string => {
  const first = random(200)
  return pick(random, [address(random), `10.0.0.${first}-10.0.0.${first + random(50)}`])
}
const not = (random: Random): string => (random(4) === 0 ? '! ' : '')
const name = (random: Random): string => Array.from({ length: 1 + random(12) }, () => pick(random, [...'abcxyzABC019-_.:+@'])).join('').replace(/^-/, 'a')
const text = (random: Random, max: number): string =>
  quote(Array.from({ length: random(max) }, () => pick(random, [...'ab Z09_-"\\\'!#[]:*$é\t'])).join(''))
const directions = (random: Random): string => Array.from({ length: 1 + random(4) }, () => pick(random, ['src', 'dst'])).join(',')
const maybe = (random: Random, make: () => string): string => (random(3) === 0 ? ` ${make()}` : '')
const joined = (parts: readonly string[]): string => parts.filter((part) => part !== '').join(' ').trim()

const STATES = ['INVALID', 'NEW', 'RELATED', 'ESTABLISHED', 'UNTRACKED']
const TYPES = ['UNSPEC', 'UNICAST', 'LOCAL', 'BROADCAST', 'ANYCAST', 'MULTICAST', 'BLACKHOLE', 'UNREACHABLE', 'PROHIBIT', 'THROW']
const FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG']

const rate = (random: Random): string => `${below(random, 1000)}${pick(random, ['', '/sec', '/minute', '/h'])}`
const clock = (random: Random): string => `${random(24)}:${random(60)}${pick(random, ['', `:${random(60)}`])}`

const PORT_PROTOCOLS = ['tcp', 'udp']
/** Matches that go with any protocol. */
const MATCHES: readonly ((random: Random) => string)[] = [
  (random) => `conntrack ${joined([
    `${not(random)}--ctstate ${some(random, [...STATES, 'SNAT', 'DNAT'], 4).join(',')}`,
    maybe(random, () => `${not(random)}--ctproto ${below(random, 255)}`),
    ...['ctorigsrc', 'ctorigdst', 'ctreplsrc', 'ctrepldst'].map((each) => maybe(random, () => `${not(random)}--${each} ${prefix(random)}`)),
    ...['ctorigsrcport', 'ctrepldstport'].map((each) => maybe(random, () => `${not(random)}--${each} ${range(random, 65535, ':')}`)),
    maybe(random, () => `${not(random)}--ctstatus ${some(random, ['EXPECTED', 'SEEN_REPLY', 'ASSURED', 'CONFIRMED'], 3).join(',')}`),
    maybe(random, () => `${not(random)}--ctexpire ${range(random, 1000000, ':')}`),
    maybe(random, () => `--ctdir ${pick(random, ['ORIGINAL', 'REPLY'])}`),
  ])}`,
  (random) => `state ${not(random)}--state ${some(random, STATES, 4).join(',')}`,
  (random) => `mark ${not(random)}--mark ${masked(random)}`,
  (random) => `connmark ${not(random)}--mark ${masked(random)}`,
  (random) => `limit${maybe(random, () => `--limit ${rate(random)}`)}${maybe(random, () => `--limit-burst ${below(random, 100)}`)}`,
  (random) => `hashlimit --hashlimit-${pick(random, ['upto', 'above'])} ${rate(random)} --hashlimit-name h${random(1e9)}`
    + maybe(random, () => `--hashlimit-mode ${some(random, ['srcip', 'dstip'], 2).join(',')}`)
    + maybe(random, () => `--hashlimit-burst ${below(random, 1000)}`) + maybe(random, () => `--hashlimit-srcmask ${random(33)}`)
    + maybe(random, () => `--hashlimit-dstmask ${random(33)}`) + maybe(random, () => `--hashlimit-htable-expire ${below(random, 99999)}`)
    + maybe(random, () => `--hashlimit-htable-size ${below(random, 9999)} --hashlimit-htable-max ${below(random, 9999)}`),
  (random) => `hashlimit --hashlimit-above ${8 * below(random, 1000)}kb/s --hashlimit-mode srcip --hashlimit-name b${random(1e9)}`,
  (random) => `connlimit --connlimit-${pick(random, ['upto', 'above'])} ${u32(random)}${maybe(random, () => `--connlimit-mask ${random(33)}`)}`
    + maybe(random, () => `--connlimit-${pick(random, ['s', 'd'])}addr`),
  (random) => `length ${not(random)}--length ${range(random, 65535, ':')}`,
  (random) => `ttl ${pick(random, [`${not(random)}--ttl-eq`, '--ttl-lt', '--ttl-gt'])} ${random(256)}`,
  (random) => `tos ${not(random)}--tos ${pick(random, [`${random(256)}`, `${random(256)}/${random(256)}`, 'Minimize-Delay', 'Minimize-Cost'])}`,
  (random) => `dscp ${not(random)}${pick(random, [`--dscp ${random(64)}`, '--dscp-class AF31', '--dscp-class CS7', '--dscp-class EF'])}`,
  (random) => `addrtype ${not(random)}--${pick(random, ['src', 'dst'])}-type ${some(random, TYPES, 5).join(',')}`,
  (random) => `time ${joined([
    maybe(random, () => `--timestart ${clock(random)}`), maybe(random, () => `--timestop ${clock(random)}`),
    maybe(random, () => `${not(random)}--weekdays ${some(random, ['Mon', 'Tue', '3', '4', 'Fri', 'Sa'], 3).join(',')}`),
    maybe(random, () => `${not(random)}--monthdays ${some(random, [1, 2, 3, 11, 21, 30, 31], 5).join(',')}`),
    maybe(random, () => `--datestart 20${10 + random(20)}-0${1 + random(9)}-1${random(9)}T0${random(9)}:00`),
    maybe(random, () => '--kerneltz'),
  ])}`.trim(),
  (random) => `statistic --mode random ${not(random)}--probability ${random(1001) / 1000}`,
  (random) => {
    const every = below(random, 1000)
    return `statistic --mode nth ${not(random)}--every ${every} --packet ${random(every)}`
  },
  (random) => `comment --comment ${text(random, 40)}`,
  (random) => `iprange ${not(random)}--${pick(random, ['src', 'dst'])}-range ${addressRange(random)}`,
]
/** Sets must exist in a kernel; here they need not. */
const SET_MATCHES: readonly ((random: Random) => string)[] = [
  (random) => `set ${not(random)}--match-set ${name(random)} ${directions(random)}${maybe(random, () => '--return-nomatch')}`
    + maybe(random, () => '! --update-counters') + maybe(random, () => `--packets-${pick(random, ['eq', 'lt', 'gt'])} ${u32(random)}`),
]

/** iptables-nft makes a range up to 65535 of the opposite of one from 0. */
const portTest = (random: Random, option: string): string => {
  const test = `${not(random)}--${option} ${range(random, 65535, ':')}`
  return test.startsWith('!') ? test.replace(/ 0:\d+$/, ' 7') : test
}

const protocolMatch = (random: Random, protocol: string): string => {
  const ports = joined([maybe(random, () => portTest(random, 'sport')), maybe(random, () => portTest(random, 'dport'))])
  if (protocol === 'icmp') return `-m icmp ${not(random)}--icmp-type ${pick(random, ['any', 'ping', 'host-unreachable', `${random(255)}`, `${random(255)}/${random(256)}`])}`
  if (protocol === 'tcp' && random(3) === 0) {
    const flags = pick(random, [`${not(random)}--syn`, `${not(random)}--tcp-flags ${some(random, FLAGS, 6).join(',')} ${some(random, [...FLAGS], 6).join(',')}`, `${not(random)}--tcp-option ${below(random, 255)}`])
    return `-m tcp ${ports} ${flags}`.replace('  ', ' ')
  }
  if (PORT_PROTOCOLS.includes(protocol) && random(3) === 0) return `-m multiport ${not(random)}--${pick(random, ['sports', 'dports', 'ports'])} ${Array.from({ length: 1 + random(7) }, () => range(random, 65535, ':')).join(',')}`
  return protocol === 'tcp' && random(5) === 0 ? `-m tcpmss ${not(random)}--mss ${range(random, 65535, ':')}` : PORT_PROTOCOLS.includes(protocol) ? `-m ${protocol} ${ports}`.trim() : ''
}

const flags = (random: Random, ...names: string[]): string => names.map((each) => maybe(random, () => each)).join('')
const ports = (random: Random, protocol: string): string => (PORT_PROTOCOLS.includes(protocol) ? maybe(random, () => `:${range(random, 65535, '-')}`).trim() : '')

const ANYWHERE = (random: Random): string[] => [
  'ACCEPT', 'RETURN', `LOG${maybe(random, () => `--log-level ${random(8)}`)}${maybe(random, () => `--log-prefix ${text(random, 14)}`)}${flags(random, '--log-uid', '--log-tcp-options', '--log-macdecode')}`,
  `NFLOG${maybe(random, () => `--nflog-group ${number(random, 65535)}`)}${maybe(random, () => `--nflog-prefix ${text(random, 30)}`)}${maybe(random, () => `--nflog-size ${u32(random)}`)}`,
  `MARK --${pick(random, ['set-mark', 'set-xmark'])} ${masked(random)}`, `MARK --${pick(random, ['and', 'or', 'xor'])}-mark ${hex(random)}`,
  `CONNMARK --${pick(random, ['set-mark', 'set-xmark'])} ${masked(random)}`, `CONNMARK --${pick(random, ['and', 'or', 'xor'])}-mark ${hex(random)}`,
  `CONNMARK --${pick(random, ['save', 'restore'])}-mark${pick(random, ['', ` --mask ${hex(random)}`, ` --nfmask ${hex(random)} --ctmask ${hex(random)}`])}`,
]

const targetsOf = (random: Random, table: TableName, chain: string, protocol: string): string[] => {
  const list = ANYWHERE(random)
  const from = (...chains: string[]): boolean => chains.includes(chain)
  if (table === 'raw') list.push('NOTRACK', 'CT --notrack', 'DROP')
  if (table === 'filter') {
    list.push('DROP', 'REJECT', `REJECT --reject-with ${pick(random, ['icmp-host-unreachable', 'icmp-admin-prohibited', 'net-unreach'])}`)
    if (protocol === 'tcp') list.push('REJECT --reject-with tcp-reset')
    if (protocol === 'tcp' && from('INPUT', 'FORWARD')) list.push(`SYNPROXY${flags(random, '--sack-perm', '--timestamp')} --mss ${random(1461)} --wscale ${random(15)}`)
  }
  if (table === 'mangle') {
    list.push('DROP', `TOS --set-tos ${random(256)}/${random(256)}`, `TOS --${pick(random, ['and', 'or', 'xor'])}-tos ${random(256)}`, `DSCP --set-dscp ${random(64)}`, 'DSCP --set-dscp-class AF42', `TTL --ttl-${pick(random, ['set', 'inc', 'dec'])} ${1 + random(255)}`)
    if (chain === 'PREROUTING' && PORT_PROTOCOLS.includes(protocol)) list.push(`TPROXY --on-port ${random(65536)}${maybe(random, () => `--on-ip ${address(random)}`)}${maybe(random, () => `--tproxy-mark ${masked(random)}`)}`)
  }
  if (table === 'nat') {
    list.push(`NETMAP --to ${address(random)}/${random(33)}`)
    if (from('POSTROUTING', 'INPUT')) list.push(`SNAT --to-source ${addressRange(random)}${ports(random, protocol)}${flags(random, '--random', '--random-fully', '--persistent')}`)
    if (from('POSTROUTING')) list.push(`MASQUERADE${PORT_PROTOCOLS.includes(protocol) ? maybe(random, () => `--to-ports ${range(random, 65535, '-')}`) : ''}${flags(random, '--random', '--random-fully')}`)
    if (from('PREROUTING', 'OUTPUT')) list.push(
      `DNAT --to-destination ${addressRange(random)}${ports(random, protocol)}${flags(random, '--random', '--persistent')}`,
      `REDIRECT${PORT_PROTOCOLS.includes(protocol) ? maybe(random, () => `--to-ports ${range(random, 65535, '-')}`) : ''}${flags(random, '--random')}`,
    )
  }
  return list
}

export interface GenerateOptions {
  /** Also matches and targets that name sets of ipset. */
  readonly sets: boolean
}

/** A rule for a chain, with the user chains that it may lead to. */
export const randomRule = (random: Random, table: TableName, chain: string, leads: readonly string[], options: GenerateOptions): string => {
  const protocol = pick(random, ['', '', 'tcp', 'tcp', 'udp', 'icmp', 'gre', '200'])
  const matches = options.sets ? [...MATCHES, ...SET_MATCHES] : MATCHES
  const parts = [
    maybe(random, () => `${not(random)}-s ${network(random)}`), maybe(random, () => `${not(random)}-d ${network(random)}`),
    ['OUTPUT', 'POSTROUTING'].includes(chain) ? '' : maybe(random, () => `${not(random)}-i ${pick(random, ['eth0', 'eth+', 'br-lan.10', 'a'])}`),
    ['PREROUTING', 'INPUT'].includes(chain) ? '' : maybe(random, () => `${not(random)}-o ${pick(random, ['eth1', 'ppp+', 'lo'])}`),
    protocol === '' ? '' : `-p ${protocol}`, maybe(random, () => `${not(random)}-f`),
    random(2) === 0 ? protocolMatch(random, protocol) : '',
    ...Array.from({ length: random(3) }, () => `-m ${pick(random, matches)(random)}`),
    random(12) === 0 ? '' : leads.length > 0 && random(4) === 0 ? `-${pick(random, ['j', 'g'])} ${pick(random, leads)}` : `-j ${pick(random, targetsOf(random, table, chain, protocol))}`,
  ]
  if (options.sets && random(20) === 0) parts[parts.length - 1] = `-j SET --add-set ${name(random)} ${directions(random)}${maybe(random, () => `--exist --timeout ${random(1000)}`)}`
  return joined(parts)
}

const CHAINS = { raw: ['PREROUTING', 'OUTPUT'], mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'], nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'], filter: ['INPUT', 'FORWARD', 'OUTPUT'] } as const

/** A whole file, with all four tables and user chains that lead to later ones only. */
export const randomFile = (random: Random, rules: number, options: GenerateOptions): string => TABLE_NAMES.map((table) => {
  const own = Array.from({ length: random(4) }, (_, index) => `own${index}`)
  const counters = (): string => `[${random(1000)}:${random(1 << 30)}]`
  const chains: readonly string[] = [...CHAINS[table], ...own]
  const lines = Array.from({ length: random(rules) }, () => {
    const chain = pick(random, chains)
    const later = own.slice(own.indexOf(chain) + 1)
    // What stands in a chain of its own may be reached from anywhere: targets that may stand anywhere.
    const rule = own.includes(chain) ? `${random(2) === 0 ? '-p tcp ' : ''}-j ${pick(random, ANYWHERE(random))}` : randomRule(random, table, chain, later, options)
    return `${random(2) === 0 ? `${counters()} ` : ''}-A ${chain} ${rule}`
  })
  const policy = (): string => (table === 'nat' ? 'ACCEPT' : pick(random, ['ACCEPT', 'ACCEPT', 'DROP']))
  return [
    `*${table}`, ...CHAINS[table].map((chain) => `:${chain} ${policy()} ${counters()}`), ...own.map((chain) => `:${chain} - ${counters()}`),
    ...lines, 'COMMIT', '',
  ].join('\n')
}).join('')
