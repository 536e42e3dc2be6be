-- The session that began is put in its place. Beside a finished one, which may outlive what the
-- deed leaves, the deed is kept with the lock.
active_lasts = put(A, active, payload)
--#include remember
lock.needed = lock.needed or finished
