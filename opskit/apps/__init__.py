"""Operations on whole apps, and all there is to know of one."""
