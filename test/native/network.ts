/** A network namespace for one test file: the thread that runs the tests enters it and goes back afterwards. */
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll } from 'vitest'
import { native } from '../../src/native.js'

const CAP_NET_ADMIN = 12
const CAP_SYS_ADMIN = 21

/** Whether this process may make namespaces and devices in them. */
export const privileged = ((): boolean => {
  const [low] = native().capabilities()
  const needed = 2 ** CAP_NET_ADMIN + 2 ** CAP_SYS_ADMIN
  return (low & needed) === needed
})()

/** Runs a command in the namespace of the calling thread; throws with its output when it fails. */
export const run = (command: string, ...args: string[]): string => {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
  return stdout
}

export const ip = (words: string): string => run('ip', ...words.split(' '))

/** Enters a new namespace before the tests of the calling suite, with `lo` up, and leaves it (thereby removing it) after them. */
export const inNewNamespace = (): void => {
  let home = -1
  beforeAll(() => {
    home = native().openPath('/proc/thread-self/ns/net')
    native().unshareNetwork()
    ip('link set lo up')
  })
  afterAll(() => {
    if (home < 0) return
    native().setNetworkNamespace(home)
    native().close(home)
  })
}

/** What a call threw; fails when it did not throw. */
export const thrownBy = (call: () => unknown): NodeJS.ErrnoException => {
  try {
    call()
  } catch (error) {
    return error as NodeJS.ErrnoException
  }
  throw new Error('nothing was thrown')
}
