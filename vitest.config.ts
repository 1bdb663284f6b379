import { defineConfig } from 'vitest/config'

/** Tests that make network namespaces or start programs in them: root only, and one file at a time. */
const inNamespaces = ['test/netns/**/*.test.ts', 'test/interop/**/*.test.ts']

export default defineConfig({
  test: {
    pool: 'forks',
    setupFiles: ['test/setup.ts'],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reporter: ['text-summary', 'lcov', 'json-summary'],
      reportsDirectory: 'coverage',
      reportOnFailure: true,
    },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: inNamespaces,
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'netns',
          include: inNamespaces,
          fileParallelism: false,
          // Real programs on a machine that others use too: what fails is tried once more, and reported as such.
          retry: 1,
          testTimeout: 120_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
