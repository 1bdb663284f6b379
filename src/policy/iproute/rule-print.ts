/** Rules as `ip rule show` prints them. */
import type { Rule } from '../../route/rules.js'
import { Origin } from '../../route/types.js'
import { formatIpv4 } from '../../stack/wire/address.js'
import { dsfieldName, nameOf, protocolNames } from './names.js'
import { Printed } from './printed.js'
import type { IpState } from './state.js'

const printPrefix = (printed: Printed, word: 'from' | 'to', key: 'src' | 'dst', address: number, length: number): void => {
  const text = formatIpv4(address)
  printed.add(length === 32 ? `${word} ${text} ` : `${word} ${text}/${length} `, key, text)
  if (length !== 32) printed.add('', `${key}len`, length)
}

const hex = (value: number): string => (value === 0 ? '0' : `0x${(value >>> 0).toString(16)}`)

const printMark = (printed: Printed, { mark, markMask }: Rule): void => {
  if (mark === 0 && markMask === 0) return
  printed.add(`fwmark ${hex(mark)}`, 'fwmark', hex(mark))
  if (markMask !== -1) printed.add(`/${hex(markMask)}`, 'fwmask', hex(markMask))
  printed.add(' ')
}

const printInterface = (printed: Printed, key: 'iif' | 'oif', name: string, { devices }: IpState): void => {
  if (name === '') return
  printed.add(`${key} ${name} `, key, name)
  if (!devices.some((device) => device.name === name)) printed.add('[detached] ', `${key}_detached`)
}

const printPorts = (printed: Printed, key: 'sport' | 'dport', ports: Rule['sourcePorts']): void => {
  if (ports === null) return
  const [first, last] = ports
  if (first === last) printed.add(`${key} ${first} `, key, first)
  else {
    printed.add(`${key} ${first}-${last} `, `${key}_start`, first)
    printed.add('', `${key}_end`, last)
  }
}

const printAction = (printed: Printed, rule: Rule, { names, rules }: IpState): void => {
  const { action, table, suppressLength, target } = rule
  if (table !== 0) {
    printed.add(`lookup ${nameOf(names, 'tables', table)} `, 'table', nameOf(names, 'tables', table))
    if (suppressLength >= 0) printed.add(`suppress_prefixlength ${suppressLength} `, 'suppress_prefixlen', suppressLength)
  }
  if (action === 'goto') {
    printed.add(`goto ${target} `, 'goto', target)
    if (!rules.some(({ preference }) => preference === target)) printed.add('[unresolved] ', 'unresolved')
  } else if (action === 'nop') printed.add('nop ', 'nop')
  else if (action !== 'lookup') printed.add(`${action} `, 'action', action)
}

export const printRule = (rule: Rule, state: IpState, details: boolean): Printed => {
  const { names } = state
  const printed = new Printed()
  printed.add(`${rule.preference}:\t`, 'priority', rule.preference)
  if (rule.not) printed.add('not ', 'not')
  if (rule.sourceLength === 0) printed.add('from all ', 'src', 'all')
  else printPrefix(printed, 'from', 'src', rule.source, rule.sourceLength)
  if (rule.destinationLength !== 0) printPrefix(printed, 'to', 'dst', rule.destination, rule.destinationLength)
  if (rule.tos !== 0) printed.add(`tos ${dsfieldName(names, rule.tos)} `, 'tos', dsfieldName(names, rule.tos))
  printMark(printed, rule)
  printInterface(printed, 'iif', rule.input, state)
  printInterface(printed, 'oif', rule.output, state)
  if (rule.protocol !== 0) {
    const name = (names.numeric ? undefined : protocolNames.get(rule.protocol)) ?? `ipproto-${rule.protocol}`
    printed.add(`ipproto ${name} `, 'ipproto', name)
  }
  printPorts(printed, 'sport', rule.sourcePorts)
  printPorts(printed, 'dport', rule.destinationPorts)
  printAction(printed, rule, state)
  if (rule.origin !== Origin.unspecified || details) {
    if (rule.origin !== Origin.kernel || details) printed.add(`proto ${nameOf(names, 'origins', rule.origin)} `, 'protocol', nameOf(names, 'origins', rule.origin))
  }
  printed.text = printed.text.trimEnd()
  return printed
}
