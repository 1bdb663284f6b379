/** What tcp and udp have in common: source and destination ports. */
import type { RangeTest } from '../../model.js'
import { bang } from '../extension.js'
import { serviceName } from '../names.js'
import { type Given, invertible, value } from '../options.js'
import { parsePortRange, rangeText } from '../values.js'

export const PORT_OPTIONS = [invertible(value('sport', 'source-port')), invertible(value('dport', 'destination-port'))]

/** All ports is no test. */
export const givenPorts = (given: Given, name: 'sport' | 'dport'): RangeTest | null => {
  const test = given.read(name, (word, not) => ({ ...parsePortRange(word), not }))
  return test !== null && test.first === 0 && test.last === 65535 && !test.not ? null : test
}

export const savePorts = (test: RangeTest | null, name: string): string | null =>
  test === null ? null : `${bang(test.not)}--${name} ${rangeText(test)}`

export const listPorts = (test: RangeTest | null, name: string, protocol: string, numeric: boolean): string | null => {
  if (test === null) return null
  const text = (port: number): string => (numeric ? String(port) : serviceName(port, protocol))
  const mark = test.not ? '!' : ''
  return test.first === test.last ? `${name}:${mark}${text(test.first)}` : `${name}s:${mark}${text(test.first)}:${text(test.last)}`
}
