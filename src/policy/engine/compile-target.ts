/** A target as the data plane applies it. Verdicts and jumps are not here: the evaluator knows them. */
import {
  type ConnmarkTarget, REJECT_KINDS, type SetReference, type SetTarget, STATE, type SynproxyTarget, type Target, type TtlTarget,
} from '../model.js'
import { OWN_TIMEOUT } from '../sets/set-store.js'
import type { Environment } from './environment.js'
import { directionBits } from './flow-tests.js'
import { natActionOf } from './nat-action.js'
import { DEPENDS_CONNMARK, DEPENDS_FLAGS, DEPENDS_MARK, DEPENDS_PACKET, NO_SOCKET, type Outcome, SYNPROXY, ACCEPT, REJECT } from './outcome.js'
import type { PacketMeta } from './packet-meta.js'

/** Result of a target: the rules go on. Others are verdicts. */
export const CONTINUE = -1

/** @param rule its index. @returns CONTINUE or a verdict. Allocates and throws nothing */
export type Apply = (packet: PacketMeta, outcome: Outcome, rule: number) => number

type Applied = Exclude<Target, { readonly kind: 'ACCEPT' | 'DROP' | 'RETURN' | 'jump' | 'goto' }>

const ALL = 0xffffffff
const DSCP_KEEP = 0x03
const DSCP_SHIFT = 2
const FIN_SYN_RST = 0x07
const SYN = 0x02
const ACK = 0x10

const going = (act: (packet: PacketMeta, outcome: Outcome, rule: number) => void): Apply => (packet, outcome, rule) => {
  act(packet, outcome, rule)
  return CONTINUE
}

const applyConnmark = (target: ConnmarkTarget): Apply => {
  if (target.operation === 'restore') {
    const { ctMask, nfMask } = target
    const depends = DEPENDS_CONNMARK | (nfMask === ALL ? 0 : DEPENDS_MARK)
    return going((_, outcome) => {
      if (!outcome.isTracked) return
      outcome.depends |= depends
      outcome.mark = ((outcome.mark & ~nfMask) ^ (outcome.connmark & ctMask)) >>> 0
    })
  }
  if (target.operation === 'save') {
    const { ctMask, nfMask } = target
    return going((_, outcome) => {
      if (!outcome.isTracked) return
      outcome.depends |= DEPENDS_CONNMARK | DEPENDS_MARK
      outcome.connmark = ((outcome.connmark & ~ctMask) ^ (outcome.mark & nfMask)) >>> 0
    })
  }
  const { value, mask } = target
  return going((_, outcome) => {
    if (!outcome.isTracked) return
    outcome.depends |= DEPENDS_CONNMARK
    outcome.connmark = ((outcome.connmark & ~mask) ^ value) >>> 0
  })
}

/** A TTL that went both up and down may have met an end of its range on the way: what to add then is not one number. */
const addTtl = (outcome: Outcome, delta: number): void => {
  if (outcome.ttlDelta !== 0 && outcome.ttlDelta > 0 !== delta > 0) outcome.depends |= DEPENDS_PACKET
  outcome.ttl = Math.min(255, Math.max(0, outcome.ttl + delta))
  outcome.ttlDelta += delta
}

const applyTtl = ({ operation, value }: TtlTarget): Apply => {
  switch (operation) {
    case 'inc': return going((_, outcome) => addTtl(outcome, value))
    case 'dec': return going((_, outcome) => addTtl(outcome, -value))
    case 'set': return going((_, outcome) => {
      outcome.ttl = value
      outcome.ttlSet = value
      outcome.ttlDelta = 0
    })
  }
}

const applySet = ({ add, remove, exist, timeout }: SetTarget, environment: Environment): Apply => {
  const { sets, clock } = environment
  const prepare = (reference: SetReference | null) => ({
    set: reference === null ? -1 : environment.setNumber(reference.name),
    directions: reference === null ? 0 : directionBits(reference.directions),
    parts: reference?.directions.length ?? 0,
  })
  const [added, removed] = [prepare(add), prepare(remove)]
  const seconds = timeout ?? OWN_TIMEOUT
  return going((packet, outcome) => {
    outcome.depends |= DEPENDS_PACKET
    if (outcome.isDry) return
    if (added.set >= 0) sets.add(added.set, packet, added.directions, added.parts, exist, seconds, clock.now)
    if (removed.set >= 0) sets.remove(removed.set, packet, removed.directions, removed.parts, clock.now)
  })
}

/** A SYN is answered, an ACK that belongs to no flow yet has to bring the cookie; others go on. */
const applySynproxy = (target: SynproxyTarget): Apply => ({ tcpFlags }, outcome) => {
  outcome.depends |= DEPENDS_FLAGS
  const ends = tcpFlags & FIN_SYN_RST
  const isFirst = ends === SYN && (tcpFlags & ACK) === 0
  const isAnswer = ends === 0 && (tcpFlags & ACK) !== 0
  if (!isFirst && !isAnswer) return CONTINUE
  outcome.synproxy = target
  return SYNPROXY
}

const applyLog: Apply = going((_, outcome, rule) => {
  outcome.depends |= DEPENDS_PACKET
  outcome.log(rule)
})

const applyNotrack: Apply = going((_, outcome) => {
  outcome.notrack = true
  outcome.isTracked = false
  outcome.state = STATE.UNTRACKED
})

export const compileTarget = (target: Applied, environment: Environment): Apply => {
  switch (target.kind) {
    case 'REJECT': {
      const kind = REJECT_KINDS.indexOf(target.with)
      return (_, outcome) => {
        outcome.rejectWith = kind
        return REJECT
      }
    }
    case 'LOG':
    case 'NFLOG': return applyLog
    case 'MARK': {
      const { value, mask } = target
      const depends = mask === ALL ? 0 : DEPENDS_MARK
      return going((_, outcome) => {
        outcome.depends |= depends
        outcome.mark = ((outcome.mark & ~mask) ^ value) >>> 0
      })
    }
    case 'CONNMARK': return applyConnmark(target)
    case 'TOS': return going((_, outcome) => outcome.changeTos(~target.mask & 0xff, target.value))
    case 'DSCP': return going((_, outcome) => outcome.changeTos(DSCP_KEEP, target.value << DSCP_SHIFT))
    case 'TTL': return applyTtl(target)
    case 'TCPMSS': {
      const { size } = target
      return going((_, outcome) => {
        outcome.mss = Math.min(outcome.mss, size ?? outcome.pathMss)
        if (size === null) outcome.clampsMss = true
      })
    }
    case 'NOTRACK': return applyNotrack
    case 'CT': return target.notrack ? applyNotrack : () => CONTINUE
    case 'SNAT':
    case 'DNAT':
    case 'MASQUERADE':
    case 'REDIRECT':
    case 'NETMAP': {
      const action = natActionOf(target)
      return (_, outcome, rule) => {
        outcome.nat = action
        outcome.natRule = rule
        return ACCEPT
      }
    }
    case 'TPROXY': {
      const { value, mask, address, port } = target
      return (packet, outcome) => {
        // Sockets come and go without the flow.
        outcome.depends |= DEPENDS_PACKET
        const socket = environment.findProxy(packet, address, port)
        if (socket < 0) return NO_SOCKET
        outcome.mark = ((outcome.mark & ~mask) ^ value) >>> 0
        outcome.tproxy = target
        outcome.socket = socket
        return ACCEPT
      }
    }
    case 'SET': return applySet(target, environment)
    case 'SYNPROXY': return applySynproxy(target)
  }
}
