import { expect } from 'vitest'
import type { IpOutcome, IpState } from '../../../src/policy/iproute/index.js'
import { errorText, initialState, runIp } from '../../../src/policy/iproute/index.js'
import type { Device } from '../../../src/route/connected.js'
import { parsePrefix } from '../../../src/stack/wire/address.js'

const own = (text: string, primary = true) => {
  const { address, length } = parsePrefix(text)!
  return { address, prefixLength: length, primary }
}

/** Two providers and a LAN. */
export const devices: readonly Device[] = [
  { number: 1, name: 'lo', up: true, addresses: [own('127.0.0.1/8')] },
  { number: 2, name: 'eth0', up: true, addresses: [own('10.0.0.1/24'), own('10.0.0.9/24', false), own('1.2.3.56/24')] },
  { number: 3, name: 'eth1', up: true, addresses: [own('10.1.0.1/24')] },
  { number: 4, name: 'tun0', up: true, addresses: [own('192.168.7.1/24')] },
]

export const fresh = (): IpState => initialState(devices)

export const ip = (state: IpState, command: string): IpOutcome => runIp(state, command.split(' '))

/** The state after some commands, none of which may fail. */
export const after = (state: IpState, ...commands: string[]): IpState => commands.reduce((before, command) => {
  const outcome = ip(before, command)
  expect(outcome.errors.map((error) => errorText(error))).toEqual([])
  return outcome.state
}, state)

/** What goes wrong with a command, which must change nothing. */
export const failure = (state: IpState, command: string): string => {
  const outcome = ip(state, command)
  expect(outcome.state).toBe(state)
  expect(outcome.changes).toEqual({ routes: [], rules: false })
  expect(outcome.errors).toHaveLength(1)
  expect(outcome.exitCode).not.toBe(0)
  return errorText(outcome.errors[0]!)
}
