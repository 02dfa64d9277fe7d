"""Small changes of a record that change the prediction."""
