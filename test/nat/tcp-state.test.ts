import { describe, expect, it } from 'vitest'
import { advance, isAssured, isSteady, stateName, timeoutClassOf, UNSTEADY_FLAGS } from '../../src/nat/tcp-state.js'
import * as timeouts from '../../src/nat/timeouts.js'
import { ACK, FIN, PSH, RST, SYN } from '../../src/stack/wire/tcp.js'

/** `>` from the original side, `<` from the reply side, with the letters of its flags. */
const run = (...segments: readonly string[]): number =>
  segments.reduce((events, text) => {
    const flags = [...text.slice(1)].reduce((sum, letter) => sum | { S: SYN, A: ACK, F: FIN, R: RST, P: PSH }[letter]!, 0)
    return advance(events, flags, text[0] === '>' ? 0 : 1)
  }, 0)
const after = (...segments: readonly string[]): [string, number] => {
  const events = run(...segments)
  return [stateName(events), timeoutClassOf(events)]
}
const HANDSHAKE = ['>S', '<SA', '>A'] as const

describe('TCP states', () => {
  it('TCP-2 (REQ-2): a three-way handshake', () => {
    expect(after('>S')).toEqual(['SYN_SENT', timeouts.CLASS_TCP_SYN_SENT])
    expect(after('>S', '>S')).toEqual(['SYN_SENT', timeouts.CLASS_TCP_SYN_SENT])
    expect(after('>S', '<SA')).toEqual(['SYN_RECV', timeouts.CLASS_TCP_SYN_RECV])
    expect(after('>S', '<SA', '<SA')).toEqual(['SYN_RECV', timeouts.CLASS_TCP_SYN_RECV])
    expect(after(...HANDSHAKE)).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
    expect(after(...HANDSHAKE, '>PA', '<A', '<PA')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
  })

  it('TCP-5b (REQ-5): established only when both ends have acknowledged', () => {
    expect(timeoutClassOf(run('>S', '<SA'))).toBe(timeouts.CLASS_TCP_SYN_RECV)
    expect(isAssured(run('>S', '<SA'))).toBe(false)
    expect(isAssured(run(...HANDSHAKE))).toBe(true)
  })

  it('TCP-2 (REQ-2): simultaneous open', () => {
    expect(after('>S', '<S')).toEqual(['SYN_SENT2', timeouts.CLASS_TCP_SYN_SENT])
    expect(after('>S', '<S', '>SA')).toEqual(['SYN_SENT2', timeouts.CLASS_TCP_SYN_SENT])
    expect(after('>S', '<S', '>SA', '<SA')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
  })

  it('a normal close from either end', () => {
    for (const [one, other] of [['>', '<'], ['<', '>']] as const) {
      expect(after(...HANDSHAKE, `${one}FA`)).toEqual(['FIN_WAIT', timeouts.CLASS_TCP_FIN_WAIT])
      expect(after(...HANDSHAKE, `${one}FA`, `${other}A`)).toEqual(['CLOSE_WAIT', timeouts.CLASS_TCP_CLOSE_WAIT])
      expect(after(...HANDSHAKE, `${one}FA`, `${other}A`, `${other}FA`)).toEqual(['LAST_ACK', timeouts.CLASS_TCP_LAST_ACK])
      expect(after(...HANDSHAKE, `${one}FA`, `${other}A`, `${other}FA`, `${one}A`)).toEqual(['TIME_WAIT', timeouts.CLASS_TCP_TIME_WAIT])
      expect(after(...HANDSHAKE, `${one}FA`, `${other}FA`, `${one}A`)).toEqual(['TIME_WAIT', timeouts.CLASS_TCP_TIME_WAIT])
    }
  })

  it('a simultaneous close', () => {
    expect(after(...HANDSHAKE, '>FA', '<FA')).toEqual(['LAST_ACK', timeouts.CLASS_TCP_LAST_ACK])
    expect(after(...HANDSHAKE, '>FA', '<FA', '>A', '<A')).toEqual(['TIME_WAIT', timeouts.CLASS_TCP_TIME_WAIT])
  })

  it('TCP-5b: a half-closed connection counts as established, however much still comes', () => {
    expect(after(...HANDSHAKE, '>FA', '<A', '<PA', '>A', '<PA', '>A')).toEqual(['CLOSE_WAIT', timeouts.CLASS_TCP_CLOSE_WAIT])
  })

  it('TCP-14: the lost last acknowledgment is repeated without leaving TIME_WAIT', () => {
    expect(after(...HANDSHAKE, '>FA', '<FA', '>A', '<FA', '>A')).toEqual(['TIME_WAIT', timeouts.CLASS_TCP_TIME_WAIT])
  })

  it('TCP-14: a SYN after the end starts anew, from either side', () => {
    const over = [...HANDSHAKE, '>FA', '<FA', '>A'] as const
    expect(after(...over, '>S')).toEqual(['SYN_SENT', timeouts.CLASS_TCP_SYN_SENT])
    expect(after(...over, '>S', '<SA', '>A')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
    expect(after(...over, '<S')).toEqual(['SYN_SENT2', timeouts.CLASS_TCP_SYN_SENT])
    expect(after(...over, '<S', '>SA', '<A')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
    expect(after('>S', '<RA', '>S')).toEqual(['SYN_SENT', timeouts.CLASS_TCP_SYN_SENT])
  })

  it('CT-8: a SYN in a live connection changes nothing', () => {
    expect(after(...HANDSHAKE, '>S')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
    expect(after(...HANDSHAKE, '<SA')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
  })

  it('UPD-1: RST from either side ends the connection', () => {
    expect(after('>S', '<RA')).toEqual(['CLOSE', timeouts.CLASS_TCP_CLOSE])
    for (const rst of ['>R', '<R', '<RA']) expect(after(...HANDSHAKE, rst)).toEqual(['CLOSE', timeouts.CLASS_TCP_CLOSE])
    expect(after(...HANDSHAKE, '<R', '<R')).toEqual(['CLOSE', timeouts.CLASS_TCP_CLOSE])
  })

  it('UPD-1: data after a RST takes it back', () => {
    expect(after(...HANDSHAKE, '<R', '>PA')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
    expect(after(...HANDSHAKE, '<R', '<A')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
    expect(after(...HANDSHAKE, '<R', '>PA', '<R')).toEqual(['CLOSE', timeouts.CLASS_TCP_CLOSE])
    expect(after('>S', '<R', '<SA')).toEqual(['SYN_RECV', timeouts.CLASS_TCP_SYN_RECV])
    expect(after('>S', '<R', '<SA', '>A')).toEqual(['ESTABLISHED', timeouts.CLASS_TCP_ESTABLISHED])
  })

  it('UPD-1: data after a RST does not bring back what had ended by FIN', () => {
    expect(after(...HANDSHAKE, '>FA', '<FA', '>A', '<R', '<A')).toEqual(['TIME_WAIT', timeouts.CLASS_TCP_TIME_WAIT])
  })

  it('takes the short way only where nothing can change', () => {
    for (let events = 0; events < 512; events++) {
      if (!isSteady(events)) continue
      for (let flags = 0; flags < 256; flags++) {
        if ((flags & UNSTEADY_FLAGS) !== 0) continue
        expect(advance(events, flags, 0)).toBe(events)
        expect(advance(events, flags, 1)).toBe(events)
      }
    }
    expect(isSteady(run(...HANDSHAKE))).toBe(true)
    expect(isSteady(run(...HANDSHAKE, '>FA'))).toBe(false)
    expect(isSteady(run(...HANDSHAKE, '>R'))).toBe(false)
  })
})
