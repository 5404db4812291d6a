/** Containers know whether something in them was killed because their memory was used up. */

export const outOfMemory = `
ALTER TABLE containers ADD COLUMN oom_killed INTEGER NOT NULL DEFAULT 0 CHECK (oom_killed IN (0, 1));
`;
