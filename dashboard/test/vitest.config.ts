// Tests of the built app in Chromium against the test server. Run `npm run build` before.
import { defineConfig } from 'vitest/config'

/** One browser per file of tests: more at once would starve a machine of two cores. */
const BROWSERS_MAX = 2

export default defineConfig({
  test: {
    include: ['test/*.test.mjs'],
    globalSetup: 'test/built.mjs',
    maxWorkers: BROWSERS_MAX,
    // Many steps, each of which may take its time on a machine that does much else as well.
    testTimeout: 600_000,
    hookTimeout: 300_000,
  },
})
