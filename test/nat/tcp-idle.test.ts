import { describe, expect, it } from 'vitest'
import { TcpTalk } from '../tcp-talk.js'
import { gatewayOf, recordOf, talk } from './tcp-support.js'

describe('shorter times, in profile linux', () => {
  const opened = (): TcpTalk => talk('linux').open()
  const timeoutOf = (one: TcpTalk): number => recordOf(one, 'linux').timeout
  const expectToEndAfter = ({ gateway }: TcpTalk, seconds: number): void => {
    gateway.advance(seconds - 1)
    expect(gateway.flows).toBe(1)
    gateway.advance(3)
    expect(gateway.flows).toBe(0)
  }

  it('§20.1: unacknowledged data: 300 s, of either end', () => {
    for (const end of ['out', 'back'] as const) {
      const one = opened()
      expect(timeoutOf(one)).toBe(432_000)
      one[end]('PA', { length: 10 })
      expect(timeoutOf(one)).toBe(300)
      one[end === 'out' ? 'back' : 'out']('A')
      expect(timeoutOf(one)).toBe(432_000)
      one[end]('PA', { length: 10 })
      expectToEndAfter(one, 300)
    }
  })

  it('§20.1: acknowledged: 432000 s from the last packet', () => {
    const one = opened()
    one.out('PA', { length: 10 })
    one.back('A')
    one.gateway.advance(301)
    expect(timeoutOf(one)).toBe(432_000 - 301)
    expectToEndAfter(one, 432_000 - 301)
  })

  it('§20.1: used again after a long rest, the times begin again', () => {
    const one = opened()
    one.gateway.advance(1000)
    one.out('PA', { length: 10 })
    expect(timeoutOf(one)).toBe(300)
    expectToEndAfter(one, 300)
  })

  it('§20.1: the same segment three times more: 300 s, until something new comes', () => {
    const one = opened()
    one.back('A')
    for (let repeat = 0; repeat < 3; repeat++) {
      expect(timeoutOf(one)).toBe(432_000)
      one.out('A')
      one.out('A', { sequence: one.next[0] - 1 })
      if (repeat < 2) one.back('A')
    }
    one.out('A', { sequence: one.next[0] - 1 })
    one.out('A', { sequence: one.next[0] - 1 })
    expect(timeoutOf(one)).toBe(300)
    one.back('A')
    expect(timeoutOf(one)).toBe(432_000)
  })

  it('§20.1: a window that stays shut: 300 s', () => {
    const one = opened()
    one.out('PA', { length: 60_000 })
    one.out('PA', { length: 5535 })
    one.back('A', { window: 0 })
    expect(timeoutOf(one)).toBe(300)
    one.back('A', { window: 100 })
    expect(timeoutOf(one)).toBe(432_000)
  })

  it('each of the two has its own time when they differ', () => {
    for (const [tcpUnacknowledged, tcpMaxRetrans] of [[100, 200], [200, 100]] as const) {
      const options = { timeouts: { tcpUnacknowledged, tcpMaxRetrans } }
      const waiting = new TcpTalk(gatewayOf({}, 'linux', options)).open()
      waiting.out('PA', { length: 10 })
      expectToEndAfter(waiting, tcpUnacknowledged)
      const repeating = new TcpTalk(gatewayOf({}, 'linux', options)).open()
      for (let repeat = 0; repeat < 5; repeat++) repeating.out('A')
      expectToEndAfter(repeating, tcpMaxRetrans)
      const idle = new TcpTalk(gatewayOf({}, 'linux', options)).open()
      idle.gateway.advance(10_000)
      expect(idle.gateway.flows).toBe(1)
    }
  })

  it('§21-3: in behave they shorten nothing', () => {
    const one = talk('behave').open()
    one.out('PA', { length: 10 })
    one.gateway.advance(7439)
    expect(one.gateway.flows).toBe(1)
  })
})
