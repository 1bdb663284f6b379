import { describe, expect, it } from 'vitest'
import { PROFILES } from '../../src/nat/profiles.js'
import { GSO_TCPV4 } from '../../src/stack/wire/vnet.js'
import { buildFragments } from '../../src/testing/packets.js'
import { superpacket } from '../stack/support.js'
import { type TalkOptions, TcpTalk } from '../tcp-talk.js'
import { expectBeside, expectRefused, expectTaken, gatewayOf, recordOf, stateOf, talk } from './tcp-support.js'

describe.each(['behave', 'linux'] as const)('window, in profile %s', (profile) => {
  const opened = (options: TalkOptions = {}): TcpTalk => talk(profile, options).open()

  it('CT-6, CT-9: a segment beyond the window is dropped and leaves no trace', () => {
    for (const one of [opened(), opened({ first: [-1000, 0x7fffffff] })]) {
      one.out('PA', { length: 100 })
      one.back('PA', { length: 100 })
      for (const flags of ['A', 'PA', 'FA']) {
        for (const far of [200_000, 1 << 30, 0x7fff0000]) {
          expectRefused(one, () => one.out(flags, { sequence: (one.next[0] + far) | 0, length: 10 }))
          expectRefused(one, () => one.back(flags, { sequence: (one.next[1] + far) | 0, length: 10 }))
        }
      }
    }
  })

  it('CT-6: an acknowledgment of what was never sent is dropped and leaves no trace', () => {
    const one = opened()
    one.back('PA', { length: 100 })
    for (const far of [1, 1000, 1 << 30]) {
      expectRefused(one, () => one.out('PA', { sequence: one.next[0], acknowledgment: (one.next[1] + far) | 0, length: 10 }))
      expectRefused(one, () => one.back('A', { sequence: one.next[1], acknowledgment: (one.next[0] + far) | 0 }))
    }
  })

  it('CT-6: the window bounds to the byte: what starts at its edge passes, what starts a whole window behind it not', () => {
    const one = talk(profile).open({ window: 5000 })
    // The SYN/ACK's window still holds: one that was offered is not taken back.
    one.back('A', { window: 1000 })
    const edge = one.next[0] + 5000
    expectTaken(one, () => one.out('A', { sequence: edge }))
    expectRefused(one, () => one.out('A', { sequence: edge + 1, length: 5000 }))
    expectBeside(one, () => one.out('A', { sequence: edge + 1, length: 4999 }))
  })

  it('CT-6: what is older than the window passes, and changes nothing', () => {
    const one = opened()
    for (let sent = 0; sent < 10; sent++) {
      one.out('PA', { length: 20_000 })
      one.back('A')
    }
    expectBeside(one, () => one.out('PA', { sequence: 1001, length: 100 }))
    expectBeside(one, () => one.out('FA', { sequence: 1001, length: 100 }))
    expectBeside(one, () => one.back('A', { acknowledgment: 1001 }))
    // Within the last window it counts.
    expectTaken(one, () => one.out('PA', { sequence: one.next[0] - 30_000, length: 1000 }))
  })

  it('CT-6, TCP-13: windows are scaled when both SYNs offer it', () => {
    for (const [first, second, isScaled] of [[7, 7, true], [7, undefined, false], [undefined, 7, false], [0, 2, true]] as const) {
      const one = talk(profile)
      one.out('S', { window: 1000, ...(first === undefined ? {} : { scale: first }) })
      one.back('SA', { window: 1000, ...(second === undefined ? {} : { scale: second }) })
      one.out('A', { window: 1000 })
      one.back('A', { window: 1000 })
      // The remote's window is 1000 << second when scaled.
      const window = isScaled ? 1000 << second : 1000
      expectTaken(one, () => one.out('A', { sequence: one.next[0] + window }))
      expectBeside(one, () => one.out('A', { sequence: one.next[0] + window + 1 }))
      expectRefused(one, () => one.out('A', { sequence: one.next[0] + window * 2, length: 1 }))
    }
  })

  it('TCP-13: the options of a connection pass as they are', () => {
    const one = talk(profile)
    one.gateway.fromLan(one.segment(0, 'S', { scale: 7, sack: [[1, 2]] }))
    const [sent] = one.gateway.toWan()
    const asked = one.segment(0, 'S', { scale: 7, sack: [[1, 2]] })
    expect([...sent!.bytes.subarray(40)]).toEqual([...asked.subarray(40)])
  })

  it('a window that is shut: probes and the window that opens again pass', () => {
    const one = opened()
    one.out('PA', { length: 60_000 })
    one.out('PA', { length: 5535 })
    one.back('A', { window: 0 })
    for (let probe = 0; probe < 5; probe++) {
      expect(one.out('A', { sequence: one.next[0], length: 1 })).toBe(true)
      expect(one.back('A', { window: 0 })).toBe(true)
    }
    expect(one.out('A', { sequence: one.next[0] - 1 })).toBe(true)
    expect(one.back('A', { window: 65535 })).toBe(true)
    expect(one.out('PA', { length: 60_000 })).toBe(true)
    expect(one.gateway.drops).toEqual({})
  })

  it('keepalives pass and prolong the flow', () => {
    const one = opened()
    one.out('PA', { length: 10 })
    one.back('A')
    for (let probe = 0; probe < 20; probe++) {
      one.gateway.advance(250)
      expect(one.out('A', { sequence: one.next[0] - 1, length: probe % 2 })).toBe(true)
      expect(one.back('A')).toBe(true)
    }
    expect(one.gateway.flows).toBe(1)
    expect(recordOf(one, profile).timeout).toBe(PROFILES[profile].timeouts.tcpEstablished)
  })

  it('CT-6: an acknowledgment that lags by more than the window passes when its SACK blocks do not', () => {
    const one = talk(profile)
    one.out('S', { scale: 7 })
    one.back('SA', { scale: 7, window: 65535 })
    one.out('A', { window: 10 })
    one.back('A', { window: 8192 })
    const start = one.next[0]
    for (let sent = 0; sent < 10; sent++) expect(one.out('PA', { length: 50_000 })).toBe(true)
    // The remote's window was small from the start, as far as can be told: 1 << 7.
    expectTaken(one, () => one.back('A', { acknowledgment: start, window: 1, sack: [[one.next[0] - 1000, one.next[0]]] }))
    expectRefused(one, () => one.back('A', { acknowledgment: start, window: 1, sack: [[one.next[0], one.next[0] + 1]] }))
  })

  it('a SYN/ACK that does not acknowledge the SYN is dropped and leaves no trace', () => {
    const one = talk(profile)
    one.out('S')
    for (const wrong of [one.next[0] + 1, one.next[0] - 2, 0, 0x7fffffff]) expectRefused(one, () => one.back('SA', { sequence: 9, acknowledgment: wrong | 0 }))
    expect(one.back('SA')).toBe(true)
    expect(one.out('A')).toBe(true)
    expect(stateOf(one, profile)).toBe('ESTABLISHED')
  })

  it('a SYN with data may be acknowledged with or without it (RFC 7413)', () => {
    for (const acknowledged of [0, 100]) {
      const one = talk(profile)
      one.out('S', { length: 100 })
      expect(one.back('SA', { acknowledgment: 1001 + acknowledged, length: 50 })).toBe(true)
      if (acknowledged === 0) one.next[0] = 1001
      expect(one.back('PA', { acknowledgment: 1001 + acknowledged, length: 1000 })).toBe(true)
      expect(one.out('PA', { length: 500 })).toBe(true)
      expect(one.gateway.drops).toEqual({})
    }
  })

  it('a SYN that gives up and tries again with another number is the one that counts', () => {
    const one = talk(profile)
    one.out('S')
    one.next[0] = -77
    expect(one.out('S')).toBe(true)
    expect(one.back('SA')).toBe(true)
    expect(one.out('A')).toBe(true)
    expect(one.out('PA', { length: 10 })).toBe(true)
    expect(one.gateway.drops).toEqual({})
  })

  it('a second SYN/ACK with another number is the one that counts, while none is acknowledged', () => {
    const one = talk(profile)
    one.out('S')
    expect(one.back('SA')).toBe(true)
    one.next[1] = 1_700_000_000
    expect(one.back('SA')).toBe(true)
    expect(one.out('A')).toBe(true)
    expect(one.back('PA', { length: 10 })).toBe(true)
    expect(stateOf(one, profile)).toBe('ESTABLISHED')
    expect(one.gateway.drops).toEqual({})
  })

  it('TCP-2: a simultaneous open has a window, too', () => {
    const one = talk(profile)
    const [inside, outside] = one.next
    expect(one.out('S', { scale: 3 })).toBe(true)
    expect(one.back('S', { scale: 4 })).toBe(true)
    expect(one.out('SA', { sequence: inside, scale: 3 })).toBe(true)
    expect(one.back('SA', { sequence: outside, scale: 4 })).toBe(true)
    expect(one.out('A')).toBe(true)
    expect(one.back('A')).toBe(true)
    expect(stateOf(one, profile)).toBe('ESTABLISHED')
    expect(one.out('PA', { length: 1000 })).toBe(true)
    expect(one.back('PA', { length: 1000 })).toBe(true)
    expectRefused(one, () => one.back('PA', { sequence: one.next[1] + (1 << 20), length: 10 }))
    expect(one.out('A', { sequence: one.next[0] + 900_000 })).toBe(true)
  })

  it('a superpacket counts with all it holds', () => {
    const offloads = { checksum: true, tcp: true, udp: true }
    const one = new TcpTalk(gatewayOf({}, profile, { lanOffloads: offloads, wanOffloads: offloads })).open()
    const { bytes, vnet } = superpacket(one.segment(0, 'PA', { length: 60_000 }), 1448)
    expect(vnet.gsoType).toBe(GSO_TCPV4)
    one.gateway.fromLan(bytes, vnet)
    expect(one.gateway.toWan()).toHaveLength(1)
    expect(one.back('A')).toBe(true)
    expect(one.gateway.drops).toEqual({})
  })

  it('a segment in fragments counts with all it may hold', () => {
    const one = opened()
    for (const fragment of buildFragments(one.segment(0, 'PA', { length: 4000 }), 1000)) one.gateway.fromLan(fragment)
    expect(one.gateway.toWan()).toHaveLength(5)
    expect(one.back('A')).toBe(true)
    expect(one.out('PA', { length: 1000 })).toBe(true)
    expect(one.gateway.drops).toEqual({})
    for (const fragment of buildFragments(one.segment(0, 'PA', { sequence: one.next[0] + 2_000_000, length: 4000 }), 1000)) one.gateway.fromLan(fragment)
    expect(one.gateway.toWan()).toHaveLength(0)
    expect(one.gateway.drops).toEqual({ 'out-of-window': 1, 'fragment-orphan': 4 })
  })
})

describe.each(['behave', 'linux'] as const)('RST, in profile %s', (profile) => {
  /** With 500 bytes each way on the way, of which those to the remote are not acknowledged. */
  const opened = (): TcpTalk => {
    const one = talk(profile).open()
    one.out('PA', { length: 500 })
    one.back('A')
    one.back('PA', { length: 500 })
    one.out('A')
    one.out('PA', { length: 500 })
    return one
  }

  it('CT-7: before the other end\'s acknowledgment or out of window it is dropped and leaves no trace', () => {
    const one = opened()
    for (const back of [1, 400, 100_000]) {
      expectRefused(one, () => one.back('R', { sequence: one.next[1] - back }))
      expectRefused(one, () => one.out('R', { sequence: one.next[0] - 500 - back }))
    }
    for (const far of [65_536, 1 << 30]) {
      expectRefused(one, () => one.back('R', { sequence: (one.next[1] + far) | 0 }))
      expectRefused(one, () => one.out('RA', { sequence: (one.next[0] + far) | 0 }))
    }
  })

  it('CT-7: with the number expected next it closes, whatever it acknowledges', () => {
    for (const flags of ['R', 'RA']) {
      for (const acknowledgment of [0, 500_501, 77]) {
        const one = opened()
        expect(one.back(flags, { acknowledgment })).toBe(true)
        expect(stateOf(one, profile)).toBe('CLOSE')
        expect(recordOf(one, profile).timeout).toBe(PROFILES[profile].timeouts.tcpClose)
      }
    }
  })

  it('CT-7: behind the last segment, which is not acknowledged yet, it closes', () => {
    const one = opened()
    expect(one.out('RA')).toBe(true)
    expect(stateOf(one, profile)).toBe('CLOSE')
    // Before it, where the acknowledgments are, too.
    const other = opened()
    expect(other.out('R', { sequence: other.next[0] - 500 })).toBe(true)
    expect(stateOf(other, profile)).toBe('CLOSE')
  })

  it('CT-7, SEC-5: inexact, it passes and the state stays; the challenge acknowledgment brings the time back', () => {
    const one = opened()
    expect(one.back('R', { sequence: one.next[1] + 10 })).toBe(true)
    expect(stateOf(one, profile)).toBe('ESTABLISHED')
    expect(recordOf(one, profile).timeout).toBe(PROFILES[profile].timeouts.tcpClose)
    expect(one.out('A')).toBe(true)
    expect(recordOf(one, profile).timeout).toBeGreaterThan(240)
    // The remote does mean it.
    expect(one.back('R')).toBe(true)
    expect(stateOf(one, profile)).toBe('CLOSE')
  })

  it('TCP-12, TCP-14: out of window it does not shorten TIME_WAIT or a half-closed connection', () => {
    for (const way of [['FA'], ['FA', '<A'], ['FA', '<FA', 'A']]) {
      const one = opened()
      one.back('A')
      for (const flags of way) if (flags[0] === '<') one.back(flags.slice(1)); else one.out(flags)
      expectRefused(one, () => one.back('R', { sequence: one.next[1] + 1_000_000 }))
      expectRefused(one, () => one.back('R', { sequence: one.next[1] - 100_000 }))
    }
  })

  it('CT-7: in answer to a SYN it must acknowledge that', () => {
    const one = talk(profile)
    one.out('S')
    expectRefused(one, () => one.back('R', { sequence: 0 }))
    for (const wrong of [1002, 999, 77]) expectRefused(one, () => one.back('RA', { sequence: 0, acknowledgment: wrong }))
    expect(one.back('RA', { sequence: 0 })).toBe(true)
    if (profile === 'linux') expect(one.gateway.flows).toBe(0)
    else expect(stateOf(one)).toBe('CLOSE')
  })
})

describe('RST', () => {
  it('CT-7: in linux, as the only answer it ends the flow at once, and is passed on', () => {
    const one = talk('linux')
    one.out('S')
    expect(one.back('RA', { sequence: 0 })).toBe(true)
    expect(one.gateway.flows).toBe(0)
    expect(one.back('RA', { sequence: 0 })).toBe(false)
    // Not when anything else has come back.
    const other = talk('linux')
    other.out('S')
    other.back('SA')
    expect(other.back('R')).toBe(true)
    expect(stateOf(other, 'linux')).toBe('CLOSE')
  })

  it('CT-7: of the opener it acknowledges nothing as long as nobody has answered', () => {
    for (const profile of ['behave', 'linux'] as const) {
      const one = talk(profile)
      one.out('S')
      expectRefused(one, () => one.out('RA', { acknowledgment: 77 }))
      expect(one.out('R')).toBe(true)
    }
  })

  it('UPD-1, UPD-3: in behave, data after it takes it back; in linux it is final', () => {
    for (const [profile, state] of [['behave', 'ESTABLISHED'], ['linux', 'CLOSE']] as const) {
      const one = talk(profile).open()
      one.back('R')
      expect(one.out('PA', { length: 10 })).toBe(true)
      expect(stateOf(one, profile)).toBe(state)
    }
  })
})
