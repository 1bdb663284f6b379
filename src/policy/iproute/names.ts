/** Numbers that have names: those of iproute2's own files, and what a file of the user adds. */
import { syntaxError } from './error.js'

export interface Names {
  readonly tables: ReadonlyMap<number, string>
  readonly origins: ReadonlyMap<number, string>
  readonly scopes: ReadonlyMap<number, string>
  readonly dsfields: ReadonlyMap<number, string>
  /** Print numbers, as `ip -N`. */
  readonly numeric: boolean
}

const assured = (...classes: readonly number[]): [number, string][] =>
  classes.flatMap((kind) => [1, 2, 3].map((precedence): [number, string] => [(kind << 5) | (precedence << 3), `AF${kind}${precedence}`]))
const selectors = Array.from({ length: 7 }, (_, index): [number, string] => [(index + 1) << 5, `CS${index + 1}`])

export const builtInNames: Names = {
  tables: new Map([[255, 'local'], [254, 'main'], [253, 'default'], [0, 'unspec']]),
  origins: new Map([
    [0, 'unspec'], [1, 'redirect'], [2, 'kernel'], [3, 'boot'], [4, 'static'], [8, 'gated'], [9, 'ra'], [10, 'mrt'], [11, 'zebra'], [12, 'bird'],
    [13, 'dnrouted'], [14, 'xorp'], [15, 'ntk'], [16, 'dhcp'], [18, 'keepalived'], [42, 'babel'], [99, 'openr'], [186, 'bgp'], [187, 'isis'],
    [188, 'ospf'], [189, 'rip'], [192, 'eigrp'],
  ]),
  scopes: new Map([[0, 'global'], [255, 'nowhere'], [254, 'host'], [253, 'link'], [200, 'site']]),
  dsfields: new Map([[0, 'default'], ...assured(1, 2, 3, 4), ...selectors, [0xb8, 'EF']]),
  numeric: false,
}

/**
 * Names of tables from a file like /etc/iproute2/rt_tables: a number and a name a line, `#` begins a comment.
 *
 * @throws IpError POLICY_SYNTAX with the place of a line that is not so
 */
export const tableNames = (text: string): ReadonlyMap<number, string> => {
  const names = new Map<number, string>()
  text.split('\n').forEach((line, index) => {
    const content = line.replace(/#.*/, '').trim()
    if (content === '') return
    const match = /^(0x[\da-f]+|\d+)\s+(\S+)$/i.exec(content)
    const number = Number(match?.[1])
    if (match === null || number > 0xffffffff) {
      throw syntaxError(`"${content}" is not a table's number and name`, { text: content, line: index + 1, column: 1 }, 'write e.g. "100 vtab"')
    }
    names.set(number, match[2]!)
  })
  return names
}

/** @param tables are added to those that everybody has */
export const withTables = (names: Names, tables: ReadonlyMap<number, string>): Names => ({ ...names, tables: new Map([...names.tables, ...tables]) })

export const nameOf = (names: Names, kind: 'tables' | 'origins' | 'scopes', number: number): string =>
  (names.numeric ? undefined : names[kind].get(number)) ?? String(number)

export const dsfieldName = (names: Names, tos: number): string =>
  (names.numeric ? undefined : names.dsfields.get(tos)) ?? `0x${tos.toString(16).padStart(2, '0')}`

/** Protocols over IP that may be named in rules; others are written as numbers. */
export const protocolNames: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'], [2, 'igmp'], [4, 'ipencap'], [6, 'tcp'], [8, 'egp'], [17, 'udp'], [33, 'dccp'], [41, 'ipv6'], [46, 'rsvp'], [47, 'gre'], [50, 'esp'],
  [51, 'ah'], [58, 'ipv6-icmp'], [89, 'ospf'], [94, 'ipip'], [103, 'pim'], [112, 'vrrp'], [115, 'l2tp'], [132, 'sctp'], [136, 'udplite'], [137, 'mpls-in-ip'],
])
