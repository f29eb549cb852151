"""What serving costs and bears here: users and rates against `pileus serve`, each in processes of their own."""
