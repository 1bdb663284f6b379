/** What tests of TCP share: connections by profile, and whether a segment left a trace. */
import { expect } from 'vitest'
import type { FlowRecord } from '../../src/api/types.js'
import { readFlows } from '../../src/control/flow-reader.js'
import { FLOW_SEEN } from '../../src/nat/flow-table.js'
import { type ProfileName, PROFILES } from '../../src/nat/profiles.js'
import type { TcpBehaviour } from '../../src/nat/settings.js'
import { timeoutColumn } from '../../src/nat/timeouts.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../../src/testing/memory-gateway.js'
import { type TalkOptions, TcpTalk } from '../tcp-talk.js'

export const gatewayOf = (tcp: Partial<TcpBehaviour> = {}, profile: ProfileName = 'behave', options: MemoryGatewayOptions = {}): MemoryGateway =>
  new MemoryGateway({ profile, nat: { tcp: { ...PROFILES[profile].nat.tcp, mapping: 'shared', filtering: 'address-and-port-dependent', ...tcp } }, ...options })

export const talk = (profile: ProfileName = 'behave', options: TalkOptions = {}): TcpTalk => new TcpTalk(gatewayOf({}, profile), options)
export const recordOf = ({ gateway }: TcpTalk, profile: ProfileName = 'behave'): FlowRecord =>
  [...readFlows(gateway.plane.table.columns, timeoutColumn(PROFILES[profile].timeouts), {})][0]!.record
export const stateOf = (one: TcpTalk, profile?: ProfileName): string | null => recordOf(one, profile).state

/** All that the flow has in memory, and what is counted of it. */
export const traceOf = ({ gateway }: TcpTalk): string => {
  const { flows, sides } = gateway.plane.table
  return `${flows.subarray(0, 16).join()} ${sides.subarray(0, 16).join()}`
}
/** Expects that nothing passes and no trace is left of it. */
export const expectRefused = (one: TcpTalk, send: () => boolean, reason = 'out-of-window'): void => {
  const before = traceOf(one)
  const count = one.gateway.drops[reason] ?? 0
  one.gateway.advance(5)
  expect(send()).toBe(false)
  expect(traceOf(one)).toBe(before)
  expect(one.gateway.drops[reason]).toBe(count + 1)
}
/** Expects that something passes and prolongs the flow. */
export const expectTaken = (one: TcpTalk, send: () => boolean): void => {
  one.gateway.advance(5)
  expect(send()).toBe(true)
  expect(one.gateway.plane.table.flows[FLOW_SEEN]).toBe(one.gateway.now / 1000)
}

/** Expects that something passes and changes nothing but the counters. */
export const expectBeside = (one: TcpTalk, send: () => boolean): void => {
  const { flows } = one.gateway.plane.table
  const before = [recordOf(one).state, flows[FLOW_SEEN]]
  one.gateway.advance(5)
  expect(send()).toBe(true)
  expect([recordOf(one).state, flows[FLOW_SEEN]]).toEqual(before)
}
