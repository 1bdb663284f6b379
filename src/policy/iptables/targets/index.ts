/** All targets, by the word after `-j`. */
import type { Target, TargetName, TargetOf } from '../../model.js'
import type { TargetExtension } from '../extension.js'
import { ct, notrack } from './ct.js'
import { dscp, tcpmss, tos, ttl } from './header.js'
import { log, nflog } from './log.js'
import { connmark, mark } from './mark.js'
import { dnat, masquerade, netmap, redirect, snat } from './nat.js'
import { reject } from './reject.js'
import { set } from './set.js'
import { synproxy, tproxy } from './tproxy.js'
import { accept, back, drop } from './verdicts.js'

type NamedTarget = Exclude<TargetName, 'jump' | 'goto'>

const TARGETS: Readonly<{ [Name in NamedTarget]: TargetExtension<TargetOf<Name>> }> = {
  ACCEPT: accept, DROP: drop, RETURN: back, REJECT: reject, LOG: log, NFLOG: nflog, MARK: mark, CONNMARK: connmark, TOS: tos, DSCP: dscp,
  TTL: ttl, TCPMSS: tcpmss, NOTRACK: notrack, CT: ct, SNAT: snat, DNAT: dnat, MASQUERADE: masquerade, REDIRECT: redirect, NETMAP: netmap,
  TPROXY: tproxy, SET: set, SYNPROXY: synproxy,
}

export const TARGET_NAMES: readonly string[] = Object.keys(TARGETS)

const isNamed = (name: string): name is NamedTarget => Object.hasOwn(TARGETS, name)

/** What `-j name` brings; undefined when there is no such target. */
export const targetNamed = (name: string): TargetExtension | undefined => (isNamed(name) ? TARGETS[name] : undefined)

/** Undefined for a jump. */
export const extensionOf = (target: Target): TargetExtension | undefined => targetNamed(target.kind)
