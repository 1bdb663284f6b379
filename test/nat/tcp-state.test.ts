import { describe, expect, it } from 'vitest'
import { EVENT_ASSURED } from '../../src/nat/flow-table.js'
import {
  classOfState, firstEvents, IGNORED, INVALID, isSensible, kindOf, type Machine, MACHINES, PICKED_UP, RESTART, stateName, STEADY,
  STEADY_MASK, withAnswers,
} from '../../src/nat/tcp-state.js'
import * as timeouts from '../../src/nat/timeouts.js'
import { ACK, CWR, ECE, FIN, PSH, RST, SYN, URG } from '../../src/stack/wire/tcp.js'

const flagsOf = (letters: string): number =>
  [...letters].reduce((sum, letter) => sum | { S: SYN, A: ACK, F: FIN, R: RST, P: PSH, U: URG }[letter]!, 0)

/** Events after segments in turn: `>` from the original side, `<` from the reply side, with the letters of their flags. */
const events = (machine: Machine, segments: readonly string[], first = firstEvents(0)): number =>
  segments.reduce((before, text) => {
    const kind = kindOf(flagsOf(text.slice(1)))
    const direction = text[0] === '>' ? 0 : 1
    const next = machine.step(before, kind, direction)
    if (next === RESTART) return firstEvents(direction)
    return next < 0 ? before : withAnswers(before, next, kind, direction)
  }, first)

/** What the machine says to the last of the segments: a state word, or what is done with it instead. */
const last = (machine: Machine, ...segments: string[]): string => {
  const before = events(machine, segments.slice(0, -1))
  const text = segments.at(-1)!
  const next = machine.step(before, kindOf(flagsOf(text.slice(1))), text[0] === '>' ? 0 : 1)
  return next === IGNORED ? 'ignored' : next === INVALID ? 'invalid' : next === RESTART ? 'anew' : stateName(next)
}

const OPEN = ['>S', '<SA', '>A'] as const
const { rfc, netfilter } = MACHINES

describe.each(Object.entries(MACHINES))('TCP states of %s', (_, machine) => {
  const after = (...segments: string[]): [string, number] => {
    const reached = events(machine, segments)
    return [stateName(reached), classOfState(reached)]
  }

  it('TCP-2: a three-way handshake', () => {
    expect(after('>S')).toEqual(['SYN_SENT', timeouts.CLASS_TCP_SYN_SENT])
    expect(after('>S', '>S')).toEqual(['SYN_SENT', timeouts.CLASS_TCP_SYN_SENT])
    expect(after('>S', '<SA')).toEqual(['SYN_RECV', timeouts.CLASS_TCP_SYN_RECV])
    expect(after('>S', '<SA', '<SA')).toEqual(['SYN_RECV', timeouts.CLASS_TCP_SYN_RECV])
    expect(after(...OPEN)).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
    expect(after(...OPEN, '>PA', '<A', '<PA')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
  })

  it('TCP-5b: established only when both ends have acknowledged', () => {
    expect(after('>S', '<SA')[1]).toBe(timeouts.CLASS_TCP_SYN_RECV)
    expect(after('>S', '<SA', '<A', '<PA')[1]).toBe(timeouts.CLASS_TCP_SYN_RECV)
  })

  it('CT-5: assured once it is established and answered', () => {
    expect(events(machine, ['>S', '<SA']) & EVENT_ASSURED).toBe(0)
    expect(events(machine, OPEN) & STEADY_MASK).toBe(STEADY)
    expect(events(machine, [...OPEN, '<R']) & EVENT_ASSURED).toBe(EVENT_ASSURED)
    expect(events(machine, [...OPEN, '>FA', '<FA', '>A', '>S']) & EVENT_ASSURED).toBe(0)
    // One that was picked up: after its answer.
    expect(events(machine, ['>A', '<A'], PICKED_UP) & EVENT_ASSURED).toBe(0)
    expect(events(machine, ['>A', '<A', '>A'], PICKED_UP) & STEADY_MASK).toBe(STEADY)
  })

  it('TCP-2: simultaneous open, whoever is faster', () => {
    expect(after('>S', '<S')).toEqual(['SYN_SENT2', timeouts.CLASS_TCP_SYN_SENT])
    expect(after('>S', '<S', '>S', '<S')).toEqual(['SYN_SENT2', timeouts.CLASS_TCP_SYN_SENT])
    expect(after('>S', '<S', '>SA')).toEqual(['SYN_RECV', timeouts.CLASS_TCP_SYN_RECV])
    expect(after('>S', '<S', '<SA')).toEqual(['SYN_RECV', timeouts.CLASS_TCP_SYN_RECV])
    for (const way of [['>SA', '<SA', '>A'], ['<SA', '>SA', '<A'], ['>SA', '<SA', '<A'], ['>SA', '<A'], ['<SA', '>A']]) {
      expect(after('>S', '<S', ...way)).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
    }
  })

  it('a normal close from either end', () => {
    for (const [one, other] of [['>', '<'], ['<', '>']] as const) {
      expect(after(...OPEN, `${one}FA`)).toEqual(['FIN_WAIT', timeouts.CLASS_TCP_FIN_WAIT])
      expect(after(...OPEN, `${one}FA`, `${other}A`)).toEqual(['CLOSE_WAIT', timeouts.CLASS_TCP_CLOSE_WAIT])
      expect(after(...OPEN, `${one}FA`, `${other}A`, `${other}FA`)).toEqual(['LAST_ACK', timeouts.CLASS_TCP_LAST_ACK])
      expect(after(...OPEN, `${one}FA`, `${other}A`, `${other}FA`, `${one}A`)).toEqual(['TIME_WAIT', timeouts.CLASS_TCP_TIME_WAIT])
      expect(after(...OPEN, `${one}FA`, `${other}FA`, `${one}A`)).toEqual(['TIME_WAIT', timeouts.CLASS_TCP_TIME_WAIT])
    }
  })

  it('a simultaneous close', () => {
    expect(after(...OPEN, '>FA', '<FA')).toEqual(['LAST_ACK', timeouts.CLASS_TCP_LAST_ACK])
    expect(after(...OPEN, '>FA', '<FA', '>A', '<A')).toEqual(['TIME_WAIT', timeouts.CLASS_TCP_TIME_WAIT])
  })

  it('TCP-14: a FIN and its acknowledgment are repeated without leaving TIME_WAIT', () => {
    expect(after(...OPEN, '>FA', '<FA', '>A', '<FA', '>A')).toEqual(['TIME_WAIT', timeouts.CLASS_TCP_TIME_WAIT])
  })

  it('TCP-14, CT-8: a SYN after the end begins anew, from either side', () => {
    const over = [...OPEN, '>FA', '<FA', '>A']
    expect(last(machine, ...over, '>S')).toBe('anew')
    expect(after(...over, '>S', '<SA', '>A')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
    expect(last(machine, ...over, '<S')).toBe('anew')
    expect(after(...over, '<S', '>SA', '<A')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
    expect(last(machine, '>S', '<RA', '>S')).toBe('anew')
  })

  it('CT-8: a SYN in a live connection passes and changes nothing', () => {
    for (const way of [[], ['>FA'], ['>FA', '<A'], ['>FA', '<FA']]) expect(last(machine, ...OPEN, ...way, '>S')).toBe('ignored')
    expect(last(machine, '>S', '<SA', '>S')).toBe('ignored')
    expect(after(...OPEN, '<SA')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
  })

  it('CT-7: a RST of either side ends the connection, in any state', () => {
    for (const way of [['>S'], ['>S', '<S'], ['>S', '<SA'], [...OPEN], [...OPEN, '>FA'], [...OPEN, '>FA', '<FA', '>A'], [...OPEN, '<R']]) {
      for (const rst of ['>R', '<R', '<RA']) expect(after(...way, rst)).toEqual(['CLOSE', timeouts.CLASS_TCP_CLOSE])
    }
  })

  it('an acknowledgment instead of a SYN/ACK passes and changes nothing', () => {
    expect(last(machine, '>S', '<A')).toBe('ignored')
  })
})

describe('TCP states of the RFCs alone', () => {
  const after = (...segments: string[]): string => stateName(events(rfc, segments))

  it('TCP-5b: half closed until both ends have sent a FIN, however often the first repeats its own', () => {
    expect(after(...OPEN, '>FA', '>FA')).toBe('FIN_WAIT')
    expect(after(...OPEN, '>FA', '<A', '>FA', '>FA')).toBe('CLOSE_WAIT')
    expect(after(...OPEN, '>FA', '<A', '<PA', '>A', '<PA', '>A')).toBe('CLOSE_WAIT')
  })

  it('TCP-5b: established by a simultaneous open when each end has acknowledged', () => {
    expect(after('>S', '<S', '>SA', '<SA')).toBe('ESTABLISHED')
    expect(after('>S', '<S', '>SA', '>SA')).toBe('SYN_RECV')
  })

  it('UPD-1: data after a RST takes it back', () => {
    expect(after(...OPEN, '<R', '>PA')).toBe('ESTABLISHED')
    expect(after(...OPEN, '<R', '<A')).toBe('ESTABLISHED')
    expect(after(...OPEN, '<R', '>PA', '<R')).toBe('CLOSE')
    expect(after(...OPEN, '>FA', '<A', '>R', '<A')).toBe('CLOSE_WAIT')
    expect(after('>S', '<R', '<SA')).toBe('SYN_RECV')
    expect(after('>S', '<R', '<SA', '>A')).toBe('ESTABLISHED')
    expect(after('>S', '<SA', '<R', '<SA', '>A')).toBe('ESTABLISHED')
    expect(after('>S', '<S', '<R', '>SA')).toBe('SYN_RECV')
  })

  it('UPD-1: data after a RST does not bring back what had ended by FIN', () => {
    expect(after(...OPEN, '>FA', '<FA', '>A', '<R', '<A')).toBe('TIME_WAIT')
  })

  it('TCP-2: in a simultaneous open an acknowledgment does for a SYN/ACK', () => {
    expect(after('>S', '<S', '<A')).toBe('SYN_RECV')
    expect(after('>S', '<S', '<A', '>A')).toBe('ESTABLISHED')
  })

  it('lets pass what has no place in a connection', () => {
    expect(last(rfc, '>S', '>FA')).toBe('ignored')
    expect(last(rfc, '>S', '>A')).toBe('ignored')
    expect(last(rfc, '>S', '<FA')).toBe('ignored')
    expect(last(rfc, ...OPEN, '<S')).toBe('ignored')
    expect(last(rfc, ...OPEN, '>P')).toBe('ignored')
    expect(last(rfc, ...OPEN, '>F')).toBe('ignored')
  })
})

describe('TCP states of netfilter alone', () => {
  const after = (...segments: string[]): string => stateName(events(netfilter, segments))

  it('CT-6: a repeated FIN counts as that of the other end', () => {
    expect(after(...OPEN, '>FA', '>FA')).toBe('LAST_ACK')
    expect(after(...OPEN, '>FA', '<A', '>FA', '<A')).toBe('TIME_WAIT')
  })

  it('CT-7: nothing but a SYN follows a RST', () => {
    expect(after(...OPEN, '<R', '>PA', '<A', '>FA')).toBe('CLOSE')
    expect(last(netfilter, ...OPEN, '<R', '<SA')).toBe('ignored')
    expect(last(netfilter, ...OPEN, '<R', '<S')).toBe('invalid')
  })

  it('CT-6: a simultaneous open is complete with a segment that has no SYN', () => {
    expect(after('>S', '<S', '>SA', '<SA')).toBe('SYN_RECV')
    expect(after('>S', '<S', '>SA', '<SA', '<A')).toBe('ESTABLISHED')
  })

  it('CT-6: what has no place in a state is invalid', () => {
    for (const way of [['>A'], ['>FA'], ['<FA'], ['>SA'], ['>P']]) expect(last(netfilter, '>S', ...way)).toBe('invalid')
    for (const way of [['>A'], ['>FA'], ['<FA']]) expect(last(netfilter, '>S', '<S', ...way)).toBe('invalid')
    expect(last(netfilter, '>S', '<S', '<A')).toBe('ignored')
    for (const way of [['<S'], ['>SA'], ['>F'], ['<P']]) expect(last(netfilter, ...OPEN, ...way)).toBe('invalid')
    expect(last(netfilter, '>S', '<SA', '<S')).toBe('invalid')
    for (const way of [['>SA'], ['<F']]) expect(last(netfilter, ...OPEN, '>FA', '<FA', '>A', ...way)).toBe('invalid')
  })
})

describe('flags', () => {
  it('knows those that a TCP sends', () => {
    for (const letters of ['S', 'SA', 'SU', 'A', 'AU', 'R', 'RA', 'FA', 'FAU']) {
      for (const more of [0, PSH, ECE, CWR, PSH | ECE | CWR]) expect(isSensible(flagsOf(letters) | more)).toBe(true)
    }
    for (const letters of ['', 'F', 'U', 'SF', 'SR', 'SFA', 'RF', 'SAU', 'RU', 'RFA', 'FU']) expect(isSensible(flagsOf(letters))).toBe(false)
  })
})
