import { readlinkSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { findNamespace, namespaceId, openNamespace, ownNamespace, resolveNamespacePath } from '../../src/host/namespace.js'
import { startProgram, testNamespace } from './host-support.js'

const made = testNamespace()
const where = (): string => readlinkSync('/proc/thread-self/ns/net')
const home = where()

describe('resolveNamespacePath', () => {
  it('knows names, paths and processes', async () => {
    expect(resolveNamespacePath(made.name)).toBe(`/run/netns/${made.name}`)
    expect(resolveNamespacePath(`/run/netns/${made.name}`)).toBe(`/run/netns/${made.name}`)
    const child = await startProgram(made, "console.log('up')\nsetInterval(() => {}, 1000)")
    try {
      expect(namespaceId(resolveNamespacePath(String(child.pid)))).toBe(made.namespace.id)
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('says what it knows instead', () => {
    expect(() => resolveNamespacePath('nowhere')).toThrow(expect.objectContaining({
      code: 'UNKNOWN_NAMESPACE', exitCode: 69, message: 'there is no network namespace "nowhere"', hint: expect.stringContaining(made.name) as string,
    }) as Error)
    expect(() => resolveNamespacePath('4194999')).toThrow('there is no process 4194999')
    expect(() => resolveNamespacePath('/run/netns/nowhere')).toThrow('there is no network namespace at "/run/netns/nowhere"')
    expect(() => resolveNamespacePath('..')).toThrow('there is no network namespace ".."')
    expect(() => resolveNamespacePath('')).toThrow('there is no network namespace ""')
  })
})

describe('openNamespace', () => {
  it('runs work there and comes back, also after an error', () => {
    expect(made.namespace.run(where)).not.toBe(home)
    expect(where()).toBe(home)
    expect(() => made.namespace.run(() => { throw new Error('inside') })).toThrow('inside')
    expect(where()).toBe(home)
    const nested = made.namespace.run(() => ownNamespace().id)
    expect(nested).toBe(made.namespace.id)
    expect(ownNamespace().run(where)).toBe(home)
  })

  it('refuses what is no network namespace', () => {
    expect(() => openNamespace('/etc/hostname')).toThrow(expect.objectContaining({ code: 'NOT_A_NAMESPACE' }) as Error)
    expect(() => openNamespace('/proc/self/ns/uts')).toThrow(expect.objectContaining({ code: 'NOT_A_NAMESPACE' }) as Error)
    expect(where()).toBe(home)
  })
})

describe('findNamespace', () => {
  it('finds by identity whatever the recorded path says', () => {
    for (const path of [made.namespace.path, '/run/netns/wrong', null]) {
      const found = findNamespace(made.namespace.id, path)
      expect(found!.id).toBe(made.namespace.id)
      found!.close()
    }
    expect(findNamespace(ownNamespace().id, null)!.label).toBeNull()
    expect(findNamespace('4:1', made.namespace.path)).toBeNull()
  })

  it('finds one without a name by a process in it', async () => {
    const child = await startProgram(made, `
      import { native } from 'src/native.js'
      import { ownNamespace } from 'src/host/namespace.js'
      native().unshareNetwork()
      console.log('id', ownNamespace().id, 'up')
      setInterval(() => {}, 1000)`)
    try {
      const id = namespaceId(`/proc/${child.pid}/ns/net`)
      expect(id).not.toBe(made.namespace.id)
      const found = findNamespace(id, '/proc/thread-self/ns/net')
      expect(found!.id).toBe(id)
      found!.close()
    } finally {
      child.kill('SIGKILL')
    }
  })
})
