-- Time.
--#include base
return { PONG, now }
