import { describe, expect, it } from 'vitest'
import { type ProfileName, PROFILES } from '../../src/nat/profiles.js'
import { type TalkOptions, TcpTalk } from '../tcp-talk.js'
import { expectBeside, expectRefused, gatewayOf, recordOf, stateOf, talk } from './tcp-support.js'

describe.each(['behave', 'linux'] as const)('out of step, in profile %s', (profile) => {
  it('CT-8: a SYN in a live connection passes; its SYN/ACK begins the new one', () => {
    for (const scale of [undefined, 7]) {
      const one = talk(profile).open()
      one.out('PA', { length: 1000 })
      one.back('A')
      const again = new TcpTalk(one.gateway, { first: [2_000_000_000, -9] })
      const options = scale === undefined ? {} : { scale }
      expect(again.out('S', options)).toBe(true)
      expect(stateOf(one, profile)).toBe('ESTABLISHED')
      expect(again.back('SA', options)).toBe(true)
      expect(stateOf(one, profile)).toBe('SYN_RECV')
      expect(again.out('A', { window: 500 })).toBe(true)
      expect(stateOf(one, profile)).toBe('ESTABLISHED')
      for (let sent = 0; sent < 5; sent++) {
        expect(again.out('PA', { length: 10_000 })).toBe(true)
        expect(again.back('A', { window: 500 })).toBe(true)
        expect(again.back('PA', { length: scale === undefined ? 400 : 10_000 })).toBe(true)
        expect(again.out('A', { window: 500 })).toBe(true)
      }
      expect(one.gateway.drops).toEqual({})
      if (scale === undefined) expectRefused(one, () => one.back('PA', { length: 10 }))
    }
  })

  it('CT-8: a SYN in a live connection is refused by a RST: the flow closes', () => {
    const one = talk(profile).open()
    const again = new TcpTalk(one.gateway, { first: [2_000_000_000, 0] })
    again.out('S')
    expectRefused(one, () => again.back('RA', { acknowledgment: 77 }))
    expect(again.back('RA')).toBe(true)
    expect(stateOf(one, profile)).toBe('CLOSE')
  })

  it('CT-8: a SYN in a live connection gets a challenge acknowledgment, and a RST ends the old one', () => {
    const one = talk(profile).open()
    one.back('PA', { length: 100 })
    one.out('A')
    const again = new TcpTalk(one.gateway, { first: [2_000_000_000, 5] })
    expect(again.out('S')).toBe(true)
    expect(one.back('A')).toBe(true)
    expect(again.out('R', { sequence: one.next[0] })).toBe(true)
    expect(stateOf(one, profile)).toBe('CLOSE')
    expect(again.out('S', { sequence: 2_000_000_000 })).toBe(true)
    expect(again.back('SA')).toBe(true)
    expect(again.out('A')).toBe(true)
    expect(stateOf(one, profile)).toBe('ESTABLISHED')
    expect(one.gateway.drops).toEqual({})
  })

  it('CT-8: a late double of the connection\'s own SYN awaits nothing', () => {
    const one = talk(profile).open()
    const again = new TcpTalk(one.gateway)
    expect(again.out('S')).toBe(true)
    expect(one.out('PA', { length: 1000 })).toBe(true)
    // The server has not got the acknowledgment of its SYN/ACK.
    expect(again.back('SA')).toBe(true)
    expect(one.back('A')).toBe(true)
    expect(one.back('PA', { length: 10 })).toBe(true)
    expect(stateOf(one, profile)).toBe('ESTABLISHED')
    expect(one.gateway.drops).toEqual({})
  })

  it('CT-8: an acknowledgment instead of a SYN/ACK passes, the RST that answers it too, and the connection can begin', () => {
    const one = talk(profile)
    one.out('S')
    expect(one.back('A', { sequence: 5, acknowledgment: 12_345 })).toBe(true)
    expect(stateOf(one, profile)).toBe('SYN_SENT')
    expect(one.out('R', { sequence: 12_345 })).toBe(true)
    expect(one.out('S', { sequence: 1000 })).toBe(true)
    expect(one.back('SA')).toBe(true)
    expect(one.out('A')).toBe(true)
    expect(stateOf(one, profile)).toBe('ESTABLISHED')
    expect(one.gateway.drops).toEqual({})
  })

  it('CT-8: in LAST_ACK, the acknowledgment after a SYN is a challenge and not the last one', () => {
    const one = talk(profile).open()
    one.out('FA')
    one.back('FA')
    expect(new TcpTalk(one.gateway, { first: [2_000_000_000, 0] }).out('S')).toBe(true)
    expect(one.back('A')).toBe(true)
    expect(stateOf(one, profile)).toBe('LAST_ACK')
    expect(one.out('A')).toBe(true)
    expect(stateOf(one, profile)).toBe('TIME_WAIT')
  })

  it('TCP-14: a connection that begins anew is counted anew', () => {
    const one = talk(profile).open()
    one.out('FA')
    one.back('FA')
    one.out('A')
    const again = new TcpTalk(one.gateway, { first: [2_000_000_000, 0] })
    expect(again.out('S')).toBe(true)
    expect(recordOf(one, profile)).toMatchObject({ state: 'SYN_SENT', replied: false, assured: false, original: { packets: 1, bytes: 40 }, reply: { packets: 0, bytes: 0 } })
  })
})

describe('segments without a place', () => {
  it('CT-6: linux drops those that conntrack calls invalid, behave lets them pass', () => {
    for (const [profile, passes] of [['linux', false], ['behave', true]] as const) {
      for (const send of [(one: TcpTalk) => one.out('A'), (one: TcpTalk) => one.out('FA'), (one: TcpTalk) => one.back('FA', { sequence: 0 })]) {
        const one = talk(profile)
        one.out('S')
        if (passes) expectBeside(one, () => send(one))
        else expectRefused(one, () => send(one), 'out-of-state')
      }
    }
  })

  it('CT-6: linux drops flags that no TCP sends', () => {
    const one = talk('linux').open()
    for (const flags of ['', 'F', 'SF', 'SR', 'FR', 'U', 'SAU']) expectRefused(one, () => one.out(flags), 'out-of-state')
  })
})

describe('picking up', () => {
  const pickedUp = (profile: ProfileName = 'linux', options: TalkOptions = {}): TcpTalk => new TcpTalk(gatewayOf({ pickup: true }, profile), options)

  it('TCP-11: without it, a segment without SYN opens nothing, from either side', () => {
    const one = talk('behave')
    for (const flags of ['A', 'PA', 'FA', 'R', 'SA']) {
      expect(one.out(flags)).toBe(false)
      expect(one.back(flags)).toBe(false)
    }
    expect(one.gateway.flows).toBe(0)
    expect(one.gateway.drops).toEqual({ 'not-a-flow-opener': 5, 'no-flow': 5 })
  })

  it('TCP-11: with it, an acknowledgment from inside does; FIN, RST and SYN/ACK do not; and nothing from outside does', () => {
    for (const profile of ['behave', 'linux'] as const) {
      const one = pickedUp(profile)
      for (const flags of ['FA', 'R', 'RA', 'SA', '', 'F']) expect(one.out(flags)).toBe(false)
      for (const flags of ['A', 'PA', 'FA', 'R', 'SA']) expect(one.back(flags)).toBe(false)
      expect(one.gateway.flows).toBe(0)
      expect(one.out('PA', { length: 100 })).toBe(true)
      expect(stateOf(one, profile)).toBe('ESTABLISHED')
    }
  })

  it('§20.1: the flow lives 300 s until it is answered', () => {
    const one = pickedUp()
    one.out('PA', { length: 100 })
    expect(recordOf(one, 'linux')).toMatchObject({ timeout: 300, replied: false, assured: false })
    one.gateway.advance(301)
    expect(one.gateway.flows).toBe(0)
    one.out('PA', { length: 100 })
    one.back('A')
    expect(recordOf(one, 'linux')).toMatchObject({ timeout: 432_000, replied: true, assured: false })
    one.out('A')
    expect(recordOf(one, 'linux')).toMatchObject({ timeout: 432_000, replied: true, assured: true })
    one.gateway.advance(400_000)
    expect(one.gateway.flows).toBe(1)
  })

  it('TCP-13: its windows are not judged by their raw size', () => {
    const one = pickedUp('linux', { first: [-500, 0x7ffffe00] })
    // A window of 100 << 7, of an end that offered a scale of 7 long ago.
    one.out('A', { window: 100 })
    for (let round = 0; round < 20; round++) {
      for (let sent = 0; sent < 8; sent++) expect(one.back('A', { length: 1400, window: 3 })).toBe(true)
      expect(one.out('A', { window: 100 })).toBe(true)
    }
    for (let sent = 0; sent < 8; sent++) expect(one.out('A', { length: 1400, window: 100 })).toBe(true)
    expect(one.back('A', { window: 3 })).toBe(true)
    expect(one.gateway.drops).toEqual({})
  })

  it('passes a long one-way stream before the first acknowledgment', () => {
    const one = pickedUp()
    for (let sent = 0; sent < 100; sent++) expect(one.out('A', { length: 60_000, window: 0 })).toBe(true)
    expect(one.back('A')).toBe(true)
  })

  it('begins with the end that keeps the connection alive', () => {
    const one = pickedUp()
    expect(one.out('A', { sequence: one.next[0] - 1 })).toBe(true)
    expect(one.back('A')).toBe(true)
    expect(one.out('PA', { length: 10 })).toBe(true)
    expect(one.gateway.drops).toEqual({})
  })

  it('CT-7: a RST of the remote, which knows nothing of it, ends the flow', () => {
    const one = pickedUp()
    one.out('PA', { length: 100 })
    expect(one.back('R', { sequence: one.next[1] })).toBe(true)
    expect(one.gateway.flows).toBe(0)
  })
})

describe('without the window', () => {
  it('nat.tcp.window false: states alone count, and any RST closes', () => {
    for (const profile of ['behave', 'linux'] as const) {
      const one = new TcpTalk(gatewayOf({ window: false }, profile)).open()
      expect(one.out('PA', { sequence: 5, length: 10 })).toBe(true)
      expect(one.back('A', { sequence: -5, acknowledgment: 1 << 30 })).toBe(true)
      expect(recordOf(one, profile)).toMatchObject({ state: 'ESTABLISHED', timeout: PROFILES[profile].timeouts.tcpEstablished })
      const again = new TcpTalk(one.gateway, { first: [2_000_000_000, 0] })
      expect(again.out('S')).toBe(true)
      expect(again.back('SA')).toBe(true)
      expect(stateOf(one, profile)).toBe('SYN_RECV')
      expect(again.out('A')).toBe(true)
      expect(again.back('R', { sequence: 1 << 30 })).toBe(true)
      expect(stateOf(one, profile)).toBe('CLOSE')
      expect(one.gateway.drops).toEqual({})
    }
  })
})
