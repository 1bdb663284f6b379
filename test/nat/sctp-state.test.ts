import { describe, expect, it } from 'vitest'
import { advanceSctp, sctpClassOf, sctpStateName } from '../../src/nat/sctp-state.js'
import { EVENT_ASSURED } from '../../src/nat/flow-table.js'
import { CLASS_SCTP, CLASS_SCTP_ESTABLISHED } from '../../src/nat/timeouts.js'
import * as sctp from '../../src/stack/wire/sctp.js'

const ORIGINAL = 0
const REPLY = 1
type Step = readonly [chunk: number, direction: number]
const after = (...steps: Step[]): number => steps.reduce((events, [chunk, direction]) => advanceSctp(events, chunk, direction), 0)
const INIT: Step = [sctp.INIT, ORIGINAL]
const OPEN: Step[] = [INIT, [sctp.INIT_ACK, REPLY], [sctp.COOKIE_ECHO, ORIGINAL], [sctp.COOKIE_ACK, REPLY]]

describe('SCTP states', () => {
  it('follow the handshake, with the words of conntrack', () => {
    const names = OPEN.map((_, index) => sctpStateName(after(...OPEN.slice(0, index + 1))))
    expect(names).toEqual(['CLOSED', 'COOKIE_WAIT', 'COOKIE_ECHOED', 'ESTABLISHED'])
    expect(OPEN.map((_, index) => (after(...OPEN.slice(0, index + 1)) & EVENT_ASSURED) !== 0)).toEqual([false, false, false, true])
  })

  it('are established for the timer from the first answer on', () => {
    expect(sctpClassOf(after(INIT))).toBe(CLASS_SCTP)
    expect(sctpClassOf(after(INIT, INIT))).toBe(CLASS_SCTP)
    expect(sctpClassOf(after(INIT, [sctp.INIT_ACK, REPLY]))).toBe(CLASS_SCTP_ESTABLISHED)
    expect(sctpClassOf(after(...OPEN, [sctp.DATA, ORIGINAL]))).toBe(CLASS_SCTP_ESTABLISHED)
  })

  it.each([[ORIGINAL, 'SHUTDOWN_SENT'], [REPLY, 'SHUTDOWN_RECD']])('follow a shutdown, begun by side %i', (side, name) => {
    const shutdown: Step = [sctp.SHUTDOWN, side]
    const acknowledged: Step = [sctp.SHUTDOWN_ACK, 1 - side]
    const complete: Step = [sctp.SHUTDOWN_COMPLETE, side]
    expect(sctpStateName(after(...OPEN, shutdown))).toBe(name)
    expect(sctpStateName(after(...OPEN, shutdown, acknowledged))).toBe('SHUTDOWN_ACK_SENT')
    expect(sctpClassOf(after(...OPEN, shutdown, acknowledged))).toBe(CLASS_SCTP_ESTABLISHED)
    expect(sctpStateName(after(...OPEN, shutdown, acknowledged, complete))).toBe('CLOSED')
    expect(sctpClassOf(after(...OPEN, shutdown, acknowledged, complete))).toBe(CLASS_SCTP)
  })

  it('end with an ABORT, which is no answer, until something else comes', () => {
    expect(sctpStateName(after(INIT, [sctp.ABORT, REPLY]))).toBe('CLOSED')
    expect(sctpClassOf(after(INIT, [sctp.ABORT, REPLY], [sctp.ABORT, REPLY]))).toBe(CLASS_SCTP)
    expect(sctpClassOf(after(...OPEN, [sctp.ABORT, REPLY]))).toBe(CLASS_SCTP)
    expect(sctpStateName(after(...OPEN, [sctp.ABORT, REPLY], [sctp.HEARTBEAT, ORIGINAL]))).toBe('ESTABLISHED')
    expect(sctpClassOf(after(...OPEN, [sctp.ABORT, REPLY], [sctp.HEARTBEAT, ORIGINAL]))).toBe(CLASS_SCTP_ESTABLISHED)
  })

  it('begin anew with an INIT after the end', () => {
    expect(after(...OPEN, [sctp.ABORT, ORIGINAL], INIT)).toBe(after(INIT))
    expect(sctpStateName(after(...OPEN, [sctp.ABORT, ORIGINAL], [sctp.INIT, REPLY]))).toBe('COOKIE_WAIT')
    // Before the end, an INIT is a restart of one end that may be forged: nothing changes.
    expect(after(...OPEN, INIT)).toBe(after(...OPEN))
  })
})
