/** Any words of ip, any file of -batch: an answer or an IpError, never another error, and what fails changes nothing. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TsnatError } from '../../src/errors.js'
import { errorText, type IpOutcome, type IpState, lookupIn, runIp, runIpBatch } from '../../src/policy/iproute/index.js'
import { RouteResult } from '../../src/route/lookup.js'
import { RouteKey } from '../../src/route/types.js'
import { after, fresh } from '../policy/iproute/support.js'

const WORDS = [
  'rule', 'route', 'ru', 'r', 'address', 'link', 'add', 'del', 'show', 'get', 'flush', 'replace', 'change', 'append', 'prepend', 'test', 'save', '-4', '-6', '-j', '-p',
  '-d', '-o', '-N', '-force', '-batch', 'from', 'to', 'not', 'iif', 'oif', 'fwmark', 'tos', 'dsfield', 'ipproto', 'sport', 'dport', 'pref', 'table', 'lookup', 'goto', 'nop',
  'suppress_prefixlength', 'blackhole', 'unreachable', 'prohibit', 'throw', 'local', 'broadcast', 'unicast', 'nat', 'via', 'dev', 'onlink', 'src', 'metric', 'proto',
  'scope', 'mtu', 'lock', 'nexthop', 'weight', 'mark', 'fibmatch', 'type', 'root', 'match', 'exact', 'default', 'main', 'all', 'cache', 'inet', 'inet6', 'uidrange', 'l3mdev',
  'lo', 'eth0', 'eth1', 'eth9', 'tun0', '10.0.0.0/8', '10.0.0.254', '10.1.0.254', '5/8', '5.0.0.0/33', '0/0', '1.2.3.4', '300.1.1.1', '::1', '0', '1', '7', '100', '256',
  '0x1/0xff', '1/2/3', '1000-2000', '9-7', '4294967295', '4294967296', '-1', '017', '1e3', '', '/', '-', '"', '#', '\\', '__proto__', 'constructor',
]
const word = fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...WORDS) }, { weight: 1, arbitrary: fc.string({ unit: 'binary' }) })
const line = fc.array(word, { maxLength: 12 })
const sensible = fc.constantFrom(
  'route add 5.0.0.0/8 via 10.0.0.254', 'route append 5.0.0.0/8 via 10.0.0.253', 'route prepend 5.0.0.0/8 dev eth1 metric 3', 'route replace 5.0.0.0/8 via 10.1.0.254',
  'route add 5.0.0.0/8 via 10.1.0.254 metric 9 mtu lock 1300', 'route add throw 5.6.0.0/16 table 100', 'route add default table 100 nexthop via 10.0.0.254 weight 3 nexthop via 10.1.0.254',
  'route add prohibit 6.6.6.6 tos 0x10', 'route del 5.0.0.0/8', 'route flush table 100', 'rule add pref 9 fwmark 0x7/0xff table 100', 'rule add not from 10.0.0.0/8 iif tun0 goto 32766',
  'rule add pref 5 to 6.6.6.6 ipproto tcp dport 80-90 unreachable', 'rule add lookup 100 suppress_prefixlength 0 pref 3', 'rule del pref 9', 'rule flush',
).map((text) => text.split(' '))
const harmed = fc.tuple(sensible, fc.nat(20), word, fc.boolean())
  .map(([words, at, put, isNew]) => words.toSpliced(at % words.length, isNew ? 0 : 1, put))
const command = fc.oneof(line, sensible, harmed)
const file = fc.array(command, { maxLength: 12 }).map((lines) => lines.map((words) => words.join(' ')).join('\n'))

/** What holds of any outcome. @returns the state that it leaves */
const sound = (before: IpState, { state, changes, errors, exitCode }: IpOutcome, mayGoOn = false): IpState => {
  for (const error of errors) {
    expect(error).toBeInstanceOf(TsnatError)
    expect(error.code).toMatch(/^POLICY_(SYNTAX|UNSUPPORTED|REFUSED)$/)
    expect(errorText(error, 'file')).toMatch(/\S\n$/)
  }
  expect(errors.length === 0).toBe(exitCode === 0)
  if (errors.length > 0 && !mayGoOn) {
    expect(state).toBe(before)
    expect(changes).toEqual({ routes: [], rules: false })
  }
  return state
}

/** All of it can be listed, and asked for ways. */
const isUsable = (state: IpState): void => {
  for (const words of ['rule', '-d route show table all', '-j -d route show table all', '-j rule']) expect(runIp(state, words.split(' ')).exitCode).toBe(0)
  const key = new RouteKey()
  const result = new RouteResult()
  for (const destination of [0x05060708, 0x06060606, 0x0a000007]) lookupIn(state).lookup(Object.assign(key, { destination, input: 4, mark: 7 }), result)
}

describe('words of ip', () => {
  it('are answered or refused, one command after the other', () => {
    fc.assert(fc.property(fc.array(command, { minLength: 1, maxLength: 20 }), (commands) => {
      let state = fresh()
      for (const words of commands) state = sound(state, runIp(state, words, { readFile: () => 'rule add pref 7 table 7\n' }), words.includes('-force'))
      isUsable(state)
    }), { numRuns: 400 })
  })

  it('in a file are taken as a whole, or not at all', () => {
    const before = after(fresh(), 'route add 5.0.0.0/8 via 10.0.0.254', 'rule add pref 9 table 100')
    fc.assert(fc.property(file, fc.boolean(), (text, force) => isUsable(sound(before, runIpBatch(before, text, { force }), force))), { numRuns: 600 })
  })
})
